"""Models of 8-bit numbers: what they lose, and what is refused."""

import re

import numpy as np
import pytest

from mindvox.cli import export
from mindvox.data.eval_store import EvalStore, EvalStoreWriter
from mindvox.deploy import check_parity
from mindvox.deploy.export import export as export_checkpoint
from mindvox.deploy.int8 import quantise_ir
from mindvox.engines.engine import load_engine
from mindvox.engines.exported import ExportedModel, weights_path
from mindvox.errors import InputError, UsageError
from mindvox.frontend.fbank import Fbank
from mindvox.models.checkpoint import read_checkpoint
from mindvox.scoring.metrics import eer
from tests.deploy.toy import FRONT_END, NUM_MELS, config_of, make_checkpoint, uncompiled_encoder

pytest.importorskip("openvino", reason="needs the extra int8")
pytest.importorskip("nncf", reason="needs the extra int8")


def write_store(folder, num_utterances, num_frames=60, front_end=FRONT_END):
    rng = np.random.default_rng(1)
    with EvalStoreWriter(folder, front_end.to_dict()) as writer:
        for index in range(num_utterances):
            timbre = 10 * np.random.default_rng(index % 4).standard_normal(NUM_MELS)
            feats = timbre * rng.standard_normal((num_frames, 1)) + 3 * rng.standard_normal((num_frames, NUM_MELS))
            writer.add(f"s{index % 4}/{index}.wav", f"s{index % 4}", feats.astype(np.float32))
    return folder


@pytest.fixture(scope="module", params=["tdnn", pytest.param("ecapa_tdnn", marks=pytest.mark.slow)])
def checkpoint(request, tmp_path_factory):
    """By default of a network of few layers: NNCF takes seconds for each."""
    keys = {"global_context": None, "pooling": "tap"} if request.param == "tdnn" else {}
    return make_checkpoint(tmp_path_factory.mktemp("ckpt"), name=request.param, **keys)


@pytest.fixture(scope="module", autouse=True)
def reference_is_not_compiled():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mindvox.deploy.export.cell_encoder", uncompiled_encoder)
        patch.setattr("mindvox.scoring.embeddings.cell_encoder", uncompiled_encoder)
        yield


def export_it(checkpoint, path, *options):
    name = read_checkpoint(checkpoint)[1]["model"]["name"]
    words = [f"--model={name}", "--file_format=IR", "--precision=int8", "--length=0", "--batch_size=0", *options]
    return export_checkpoint(config_of(checkpoint, path, *words))


def test_int8_is_smaller_and_near_the_checkpoint(checkpoint, tmp_path, capsys):
    store = write_store(tmp_path / "store", 24)
    path = export_it(checkpoint, tmp_path / "m8", f"--calibration_data={store}", "--calibration_utterances=16")
    said = capsys.readouterr().out
    mean, least = map(float, re.search(r"of 8 other utterances: mean ([\d.]+), least ([\d.]+)", said).groups())
    assert 0.95 < least <= mean <= 1
    assert ExportedModel.read(path).precision == "int8"
    assert load_engine(path).encode(np.ones((3, 40, NUM_MELS), np.float32)).shape == (3, 6)
    assert b'element_type="i8"' in path.read_bytes(), "weights are bytes"
    assert weights_path(path).stat().st_size < checkpoint.stat().st_size

    words = ["--checkpoint", checkpoint, "--exported", path, "--features", store, "--cpp=nowhere"]
    assert check_parity.main(list(map(str, words))) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("IR in OpenVINO"))
    assert float(line.split()[-1]) == pytest.approx(100 * error_rate(store, load_engine(path)), abs=0.01)


def error_rate(folder, engine):
    """Return the equal error rate of all pairs of a store."""
    store = EvalStore.open(folder, FRONT_END.to_dict())
    rows = np.concatenate([engine.encode(FRONT_END.finish(store.feats(row))[None]) for row in range(len(store))])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    first, second = np.triu_indices(len(store), 1)
    speakers = np.array(store.spk_ids)
    return eer((rows @ rows.T)[first, second], speakers[first] == speakers[second]).eer


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint", ["ecapa_tdnn"], indirect=True)  # the small tdnn hardly looks at its input
def test_embeddings_that_have_nothing_in_common_are_not_written(checkpoint, tmp_path, monkeypatch):
    """Ranges taken from what no speech is like make another model of it."""
    store = write_store(tmp_path / "store", 6)
    monkeypatch.setattr(
        "mindvox.deploy.export.quantise_ir",
        lambda path, exported, calibration: quantise_ir(path, exported, [1e-3 * feats for feats in calibration]),
    )
    with pytest.raises(InputError, match="not written: cosine .* expected a mean of 0.9"):
        export_it(checkpoint, tmp_path / "m8", f"--calibration_data={store}", "--calibration_utterances=4")
    assert not list(tmp_path.glob("m8*"))


def test_too_few_utterances_are_refused(checkpoint, tmp_path):
    store = write_store(tmp_path / "store", 3)
    with pytest.raises(InputError, match="has 3 utterances, calibration_utterances is 128"):
        export_it(checkpoint, tmp_path / "m8", f"--calibration_data={store}")


def test_store_of_another_front_end_is_refused(checkpoint, tmp_path):
    store = write_store(tmp_path / "store", 3, front_end=Fbank(n_mels=NUM_MELS, f_min=100))
    with pytest.raises(InputError, match="front end"):
        export_it(checkpoint, tmp_path / "m8", f"--calibration_data={store}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--precision=int8", "--file_format=ONNX", "--calibration_data=d"], "int8 needs file_format IR"),
        (["--precision=int8", "--file_format=IR"], "calibration_data: required by precision int8"),
        (["--calibration_data=d"], "calibration_data: required by precision int8, and not used otherwise"),
    ],
)
def test_keys_that_do_not_fit_are_wrong_usage(words, said):
    with pytest.raises(UsageError, match=said):
        export.main(["--exp_ckpt_file=any.ckpt", *words])
