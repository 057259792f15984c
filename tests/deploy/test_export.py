"""Exporting a checkpoint, and the refusals of it."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mindvox.deploy.export as export_module
from mindvox.config import Config, load_config
from mindvox.deploy.export import describe, export
from mindvox.engines.engine import Engine, load_engine
from mindvox.engines.exported import ExportedModel
from mindvox.errors import InputError, UsageError
from mindvox.frontend.frames import subtract_mean
from mindvox.models.checkpoint import read_checkpoint
from tests.deploy.toy import FRONT_END, config_of, random_feats, relative, save_description

ROOT = Path(__file__).resolve().parents[2]
BOUND = 5e-6  # float32 sums in another order
WAVEFORM_BOUND = 1e-4  # and features that are up to 3e-3 dB off in a few bins


@pytest.fixture(scope="module", autouse=True)
def reference_is_not_compiled(trained):
    """Export compares with the trained Cell; tests/e2e does it as shipped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_module, "cell_encoder", lambda *_: trained)
        yield


@pytest.fixture(scope="module")
def dynamic(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("dynamic") / "model"
    return export(config_of(checkpoint, path, "--length=0", "--batch_size=0"))


def test_mindir_of_free_sizes_has_the_trained_embeddings(dynamic, trained):
    assert dynamic.name == "model.mindir"
    engine = load_engine(dynamic)
    exported = engine.exported
    assert (exported.batch_size, exported.num_frames, exported.device_target) == (None, None, "CPU")
    for shape in ((1, 9), (3, 50)):
        feats = random_feats(*shape)
        assert relative(engine.encode(feats), trained(feats)) <= BOUND
    assert engine.name.startswith("mindspore ") and engine.name.endswith(" CPU")


def test_ascends_form_of_a_waveform_model_with_attention_is_made_and_tried_on_a_cpu(
    checkpoint, trained, tmp_path, capsys
):
    options = ("--device_target=Ascend", "--input=waveform", "--outputs=embedding,attention")
    path = export(config_of(checkpoint, tmp_path / "m.mindir", "--length=0", "--batch_size=0", *options))
    assert "MINDIR, input waveform any x any\n  max difference from the checkpoint's" in capsys.readouterr().out
    engine = load_engine(path)
    assert engine.exported.device_target == "Ascend"
    waveforms = 0.1 * np.random.default_rng(0).standard_normal((3, 3040), np.float32)
    feats = subtract_mean(np.stack([FRONT_END(waveform) for waveform in waveforms]))
    assert relative(engine.encode(waveforms), trained(feats)) <= WAVEFORM_BOUND
    embedding, attention = engine.run(waveforms)
    assert attention.shape == (3, 20, 48)
    np.testing.assert_allclose(attention.sum(axis=1), 1, rtol=1e-5)


def test_onnx_is_written_whole_and_takes_its_suffix(checkpoint, trained, tmp_path, capsys):
    path = export(config_of(checkpoint, tmp_path / "model", "--file_format=ONNX", "--length=40", "--batch_size=1"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.onnx", "model.onnx.json"]
    assert "ONNX, input feats 1 x 40 x 16\n  max difference" in capsys.readouterr().out
    feats = random_feats(1, 40)
    assert relative(load_engine(path).encode(feats), trained(feats)) <= BOUND


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--channels=24"], "channels 16.*; the command line says --channels=24"),
        (["--channel=80"], "channel: the command line says 80"),
        (["--length=5"], "length: expected 0 or at least 9 frames, got 5"),
        (["--exp_ckpt_file=nowhere.ckpt"], r"nowhere\.ckpt: no such checkpoint"),
        (["--file_format=AIR"], "MindSpore writes it only on Ascend"),
        (["--outputs=embedding,frames"], "a ecapa_tdnn has no frames; it has embedding, attention"),
    ],
)
def test_settings_that_do_not_fit_are_refused_and_nothing_is_written(checkpoint, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        export(config_of(checkpoint, tmp_path / "m", *options))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--file_format=AIR", "--length=0"], "AIR needs input features, and a batch_size and a length above 0"),
        (["--file_format=OM"], "expected one of MINDIR, ONNX, IR, AIR"),
        (["--input=mfcc"], r"expected features \(or fbank\) or waveform"),
        (["--outputs=attention"], "expected embedding, then other outputs without repetition"),
        (["--outputs=embedding,attention,attention"], "expected embedding, then other outputs without repetition"),
    ],
)
def test_impossible_keys_are_refused(checkpoint, tmp_path, options, said):
    with pytest.raises(UsageError, match=said):
        config_of(checkpoint, tmp_path / "m", *options)


def test_suffix_of_another_format_is_refused(checkpoint, tmp_path):
    with pytest.raises(UsageError, match=r"ends with \.onnx, file_format MINDIR with \.mindir"):
        export(config_of(checkpoint, tmp_path / "m.onnx"))


def test_export_without_a_checkpoint_says_which_key_to_set():
    with pytest.raises(UsageError, match="exp_ckpt_file"):
        export(load_config(Config, ["--exp_ckpt_file=", "--model_path="]))


def test_missing_package_is_named_before_any_work(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("mindvox.engines.engine.is_installed", lambda name: name != "openvino")
    with pytest.raises(InputError, match=re.escape("file_format=IR needs openvino: pip install -e '.[onnx]'")):
        export(config_of(checkpoint, tmp_path / "m", "--file_format=IR", "--exp_ckpt_file=nowhere.ckpt"))


def test_model_with_other_embeddings_never_gets_its_name(checkpoint, tmp_path, monkeypatch):
    path = tmp_path / "m.mindir"
    path.write_bytes(b"an earlier model")
    monkeypatch.setattr(export_module, "write_model", lambda path, *_: path.write_bytes(b"model"))
    monkeypatch.setattr(
        export_module, "load_engine", lambda path, **_: Engine("a wrong one", ExportedModel.read(path), _ones)
    )
    with pytest.raises(InputError, match="not written: its embeddings differ"):
        export(config_of(checkpoint, path, "--length=0", "--batch_size=0"))
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("m.mindir", b"an earlier model")]


def _ones(batch):
    return [np.ones((len(batch), 6), np.float32)]


def test_damaged_mindir_with_a_matching_description_is_refused(dynamic, tmp_path):
    damaged = tmp_path / "a.mindir"
    for content in (b"no model", dynamic.read_bytes()[:-1000]):
        damaged.write_bytes(content)
        save_description(damaged, ExportedModel.read(dynamic))
        with pytest.raises(InputError, match="not a whole MINDIR"):
            load_engine(damaged)


def test_description_of_another_format_is_refused(dynamic, tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(dynamic.read_bytes())
    save_description(path, ExportedModel.read(dynamic))
    with pytest.raises(InputError, match=r"described as MINDIR: expected the suffix \.mindir"):
        load_engine(path)


def test_air_cannot_be_run_in_python(dynamic, tmp_path):
    path = tmp_path / "a.air"
    path.write_bytes(b"air")
    save_description(path, ExportedModel.read(dynamic), file_format="AIR")
    with pytest.raises(InputError, match="no library reads an AIR"):
        load_engine(path)


def test_missing_libraries_are_named(dynamic, tmp_path, monkeypatch):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"onnx")
    save_description(path, ExportedModel.read(dynamic), file_format="ONNX")
    monkeypatch.setattr("mindvox.engines.engine.is_installed", lambda _: False)
    with pytest.raises(InputError, match=re.escape("needs onnxruntime or openvino: pip install -r requirements.txt")):
        load_engine(path)


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        (np.zeros((1, 20, 8), np.float32), "takes feats float32 any x any x 16, got float32 1 x 20 x 8"),
        (np.zeros((20, 16), np.float32), "got float32 20 x 16"),
        (np.zeros((1, 20, 16)), "got float64"),
        (np.zeros((0, 20, 16), np.float32), "got float32 0 x 20 x 16"),
        (np.zeros((1, 8, 16), np.float32), "expected at least 9 frames, got 8"),
        (np.full((1, 20, 16), np.nan, np.float32), "NaN or infinite"),
    ],
)
def test_input_that_does_not_fit_is_refused(dynamic, batch, said):
    engine = Engine("none", ExportedModel.read(dynamic), _ones)
    with pytest.raises(InputError, match=said):
        engine.encode(batch)


def test_command_refuses_air_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "export.py", "--file_format=AIR", "--exp_ckpt_file=nowhere.ckpt"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n"), done.stderr[:23]) == (1, 1, "error: file_format AIR:")
    assert not list(tmp_path.iterdir())


def test_the_shipped_yaml_does_not_contradict_a_small_checkpoint(checkpoint):
    """A variant of issue 12, B15: it says 80 mel bins and 1024 channels."""
    exported = describe(load_config(Config, ["--length=0"]), read_checkpoint(checkpoint)[1], checkpoint, "CPU")
    assert (exported.feature_size, exported.emb_size, exported.model["channels"]) == (16, 6, 16)
