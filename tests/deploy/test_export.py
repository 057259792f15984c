"""Export to MINDIR, its description, and the engine that runs it."""

import dataclasses
import json

import numpy as np
import pytest
from mindspore import Tensor

from src.config import Config, load_config
from src.deploy.engine import load_engine
from src.deploy.export import export
from src.deploy.exported import ExportedModel
from src.errors import InputError, UsageError
from src.files import sha256_file
from src.models import create_model, load_model
from src.models.checkpoint import checkpoint_path, write_checkpoint

SETTINGS = {"name": "ecapa_tdnn", "in_channels": 8, "channels": 8, "emb_size": 6, "global_context": True}
META = {"model": SETTINGS, "front_end": {"n_mels": 8}, "speakers_sha256": "0", "epoch": 1, "step": 2}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    np.random.seed(0)
    path = checkpoint_path(tmp_path_factory.mktemp("ckpt"), 1, 2)
    state = {f"model.{parameter.name}": parameter for parameter in create_model(SETTINGS).get_parameters()}
    write_checkpoint(path, state, META)
    return path


def settings(checkpoint, path, *options):
    sizes = ("--inChannels=8", "--channels=8", "--emb_size=6", "--channel=8")
    given = {option.split("=")[0] for option in options}
    words = (f"--exp_ckpt_file={checkpoint}", f"--file_name={path}", *sizes)
    return load_config(Config, [*(word for word in words if word.split("=")[0] not in given), *options])


@pytest.fixture(scope="module")
def dynamic(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("dynamic") / "model"
    return export(settings(checkpoint, path, "--length=0", "--batch_size=0"), "CPU")


def test_dynamic_model_takes_any_batch_and_length(dynamic, checkpoint):
    encode, exported = load_engine(dynamic)
    assert (exported.batch_size, exported.num_frames) == (None, None)
    model, _ = load_model(checkpoint)
    for shape in ((1, 9, 8), (3, 50, 8), (2, 33, 8)):
        feats = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        np.testing.assert_allclose(encode(feats), model(Tensor(feats)).asnumpy(), rtol=1e-4, atol=1e-6)


def test_fixed_model_of_a_batch_serves_fewer(checkpoint, tmp_path, capsys):
    path = export(settings(checkpoint, tmp_path / "model.mindir", "--length=20", "--batch_size=4"), "CPU")
    assert "input 4 x 20 x 8, max difference" in capsys.readouterr().out
    encode, exported = load_engine(path)
    assert (exported.batch_size, exported.num_frames) == (4, 20)
    feats = np.random.default_rng(0).standard_normal((3, 20, 8)).astype(np.float32)
    assert encode(feats).shape == (3, 6)


def test_description_says_what_goes_in_and_out(dynamic):
    assert dynamic.name == "model.mindir"
    content = json.loads(dynamic.with_name("model.mindir.json").read_text())
    assert content["inputs"] == [{"name": "feats", "shape": [None, None, 8], "dtype": "float32"}]
    assert content["outputs"] == [{"name": "embedding", "shape": [None, 6], "dtype": "float32"}]
    assert content["front_end"] == META["front_end"] and content["model"] == SETTINGS


def test_altered_model_is_refused(dynamic, tmp_path):
    for suffix in ("", ".json"):
        (tmp_path / f"a.mindir{suffix}").write_bytes(dynamic.with_name(f"model.mindir{suffix}").read_bytes())
    with open(tmp_path / "a.mindir", "ab") as stream:
        stream.write(b"x")
    with pytest.raises(InputError, match="sha256 differs"):
        load_engine(tmp_path / "a.mindir")


def test_damaged_model_with_a_matching_description_is_refused(dynamic, tmp_path):
    damaged = tmp_path / "a.mindir"
    damaged.write_bytes(b"no model")
    dataclasses.replace(ExportedModel.read(dynamic), file_sha256=sha256_file(damaged)).save(damaged)
    with pytest.raises(InputError, match="not a whole MINDIR"):
        load_engine(damaged)


def test_missing_model_or_description_is_named(dynamic, tmp_path):
    with pytest.raises(InputError, match="a.mindir: no such model"):
        load_engine(tmp_path / "a.mindir")
    (tmp_path / "a.mindir").write_bytes(dynamic.read_bytes())
    with pytest.raises(InputError, match="a.mindir.json: no such file"):
        load_engine(tmp_path / "a.mindir")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--channels=16"], "the checkpoint has channels 8, not 16"),
        (["--channel=80"], "channel: the configuration says 80"),
        (["--exp_ckpt_file=nowhere.ckpt"], "nowhere.ckpt: no such checkpoint"),
    ],
)
def test_settings_that_do_not_fit_the_checkpoint_are_refused(checkpoint, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        export(settings(checkpoint, tmp_path / "m", *options), "CPU")
    assert not list(tmp_path.iterdir())


def test_export_without_a_checkpoint_says_which_key_to_set(tmp_path):
    with pytest.raises(UsageError, match="exp_ckpt_file"):
        export(load_config(Config, ["--exp_ckpt_file=", "--model_path="]), "CPU")


def test_model_that_was_exported_wrong_is_an_error(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("src.deploy.export.load_engine", lambda path: (lambda feats: np.ones((len(feats), 6)), _free()))
    with pytest.raises(InputError, match="embeddings differ by"):
        export(settings(checkpoint, tmp_path / "m", "--length=0", "--batch_size=0"), "CPU")


def _free():
    return ExportedModel("MINDIR", None, None, 8, 6, {}, SETTINGS, "", "")
