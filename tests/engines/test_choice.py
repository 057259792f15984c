"""Which library runs an exported model, and what is imported for it."""

import re
import subprocess
import sys

import numpy as np
import pytest

from mindvox.engines.engine import load_engine
from mindvox.engines.exported import ExportedModel, description_path
from mindvox.errors import InputError, UsageError
from mindvox.files import read_json, sha256_file, write_json
from tests.deploy.toy import NUM_MELS, make_checkpoint, save_description, write_toy
from tests.engines.described import MODEL

WITHOUT_MINDSPORE = f"""
import sys
sys.modules["mindspore"] = None  # an import of it fails
import numpy as np
from mindvox.embedder import Embedder
from mindvox.engines.engine import load_engine

for library in sys.argv[2:]:
    engine = load_engine(sys.argv[1], library)
    print(engine.encode(np.ones((2, 20, {NUM_MELS}), np.float32)).shape, engine.name.split()[0])
    waveform = np.random.default_rng(0).uniform(-0.1, 0.1, 8000)
    print(Embedder.open(sys.argv[1], library).embed(waveform).shape)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The toy model as ONNX and IR."""
    pytest.importorskip("openvino")
    folder = tmp_path_factory.mktemp("models")
    checkpoint = make_checkpoint(folder / "ckpt")
    return [write_toy(checkpoint, folder / name, "--length=0", "--batch_size=0") for name in ("m.onnx", "m.xml")]


def test_onnx_and_ir_run_without_mindspore(models):
    onnx, ir = models
    for arguments in ([onnx, "onnxruntime", "openvino"], [ir, "openvino"]):
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_MINDSPORE, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        expected = [f"(2, 6) {library}\n(6,)\n" for library in arguments[1:]]
        assert done.stdout == "".join(expected)


def test_an_engine_can_be_chosen_and_auto_takes_the_first_that_is_installed(models, monkeypatch):
    feats = np.random.default_rng(0).standard_normal((1, 30, NUM_MELS), np.float32)
    by_name = {name: load_engine(models[0], name) for name in ("auto", "onnxruntime", "openvino")}
    assert [engine.name.split()[0] for engine in by_name.values()] == ["onnxruntime", "onnxruntime", "openvino"]
    np.testing.assert_allclose(by_name["openvino"].encode(feats), by_name["auto"].encode(feats), rtol=1e-4, atol=1e-4)
    monkeypatch.setattr("mindvox.engines.engine.is_installed", lambda name: name != "onnxruntime")
    assert load_engine(models[0]).name.startswith("openvino ")
    with pytest.raises(InputError, match=r"m\.onnx: needs onnxruntime: pip install"):
        load_engine(models[0], "onnxruntime")


@pytest.mark.parametrize(
    ("engine", "error", "said"),
    [
        ("tensorrt", UsageError, "engine: expected one of auto, mindspore, onnxruntime, openvino, got 'tensorrt'"),
        ("mindspore", InputError, re.escape("m.xml: mindspore does not read IR: choose openvino.")),
    ],
)
def test_an_engine_that_does_not_run_the_model_is_refused(models, engine, error, said):
    with pytest.raises(error, match=said):
        load_engine(models[1], engine)


def test_a_model_that_was_converted_for_ascend_is_refused(tmp_path):
    path = tmp_path / "m.mindir"
    path.write_bytes(b"model")
    conversion = {"converted_from": "0", "converter": "c", "gears": None, "precision_mode": "enforce_fp32"}
    save_description(path, MODEL, file_format="MINDIR", conversion=conversion)
    with pytest.raises(InputError, match="was converted for Ascend, where the C\\+\\+ program runs it"):
        load_engine(path)


def test_ir_of_version_2_is_read(models, tmp_path):
    """Its description, and its metadata under the name of that time."""
    import openvino

    from mindvox.engines.openvino_engine import OLD_RT_INFO, RT_INFO

    exported = ExportedModel.read(models[1])
    model = openvino.Core().read_model(models[1])
    old = {"num_mels": str(NUM_MELS), "attention_size": "null", "input_kind": "fbank", "format_version": "2"}
    for key, value in {**exported.metadata(), **old}.items():
        if key not in ("feature_size", "further_outputs"):
            model.set_rt_info(value, [OLD_RT_INFO, key])
    path = tmp_path / "old.xml"
    openvino.save_model(model, path, compress_to_fp16=False)
    text = path.read_text()
    start = text.index(f"<{RT_INFO}>")
    end = text.index(f"</{RT_INFO}>") + len(f"</{RT_INFO}>")
    path.write_text(text[:start] + text[end:])
    content = read_json(description_path(models[1]))
    content = {key: value for key, value in content.items() if key not in ("feature_size", "further_outputs")}
    content |= {"num_mels": NUM_MELS, "attention_size": None, "input_kind": "fbank", "format_version": 2}
    content |= {"file_sha256": sha256_file(path), "weights_sha256": sha256_file(path.with_suffix(".bin"))}
    write_json(description_path(path), content)
    feats = np.random.default_rng(0).standard_normal((1, 30, NUM_MELS), np.float32)
    np.testing.assert_allclose(load_engine(path).encode(feats), load_engine(models[1]).encode(feats), rtol=1e-5)
