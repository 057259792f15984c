"""Exports of models that are not folded: their further outputs, and features in the guide's layout (B, F, T)."""

import json

import numpy as np
import onnx
import pytest
from mindspore import Tensor

from mindvox.deploy.bench import BATCH_SIZES
from mindvox.engines.engine import load_engine
from mindvox.engines.exported import ExportedModel, description_path
from mindvox.errors import InputError
from mindvox.models import load_model
from tests.deploy.toy import NUM_MELS, make_checkpoint, random_feats, relative, without_compiling, write_toy

pytest.importorskip("openvino", reason="needs the extra onnx")

SLOW = pytest.mark.slow
BOUND = 5e-6
LIBRARIES = {".mindir": ("mindspore",), ".onnx": ("onnxruntime", "openvino"), ".xml": ("openvino",)}
MODELS = {
    "guide": {"name": "ecapa_joovvhan", "channels": 4, "global_context": None},
    "mindaudio": {"global_context": False, "padding": "zero"},
}
KEYS = {
    "guide": ["--model=ecapa_joovvhan", "--channels=4"],
    "mindaudio": ["--global_context=false", "--model.padding=zero"],
}
AXES = ["batch", NUM_MELS, "frames"]
BOTH = "--outputs=embedding,attention"


def make(name, folder):
    """Return a checkpoint, and a function to the embeddings and weights of the frames that its Cell gives."""
    path = make_checkpoint(folder, **MODELS[name])
    model, _ = load_model(path)
    model.return_further(["attention"])

    def run(feats):
        with without_compiling():
            return [value.asnumpy() for value in model(Tensor(feats))]

    return path, run


def check(path, run, sizes, suffix):
    for library in LIBRARIES[suffix]:
        engine = load_engine(path, library)
        for num_utterances, num_frames in sizes:
            feats = random_feats(num_utterances, num_frames)
            embedding, attention = run(feats)
            assert relative(engine.encode(feats), embedding) <= BOUND, engine.name
            outputs = engine.run(engine.arranged(feats))
            assert outputs[1].shape == (num_utterances, num_frames, attention.shape[2])
            assert relative(outputs[0], embedding) <= BOUND and relative(outputs[1], attention) <= BOUND, engine.name
            np.testing.assert_allclose(outputs[1].sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("guide", ".onnx"), *(pytest.param(*pair, marks=SLOW) for pair in [("guide", ".xml"), ("mindaudio", ".onnx")])],
)
def test_transposed_features_of_any_size_have_the_embeddings_and_weights_of_the_cell(name, suffix, tmp_path):
    source, run = make(name, tmp_path)
    options = (*KEYS[name], BOTH, "--batch_size=0", "--length=0", "--input_layout=BFT")
    path = write_toy(source, tmp_path / f"m{suffix}", *options)
    check(path, run, [(1, 9), (3, 21)], suffix)
    exported = ExportedModel.read(path)
    assert exported.inputs == [{"name": "feats", "shape": [None, NUM_MELS, None], "dtype": "float32"}]
    if suffix != ".onnx":
        return
    (value,) = onnx.load(path).graph.input
    assert [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim] == AXES
    with pytest.raises(
        InputError, match=f"takes feats float32 any x any x {NUM_MELS}, got float32 2 x {NUM_MELS} x 20"
    ):
        load_engine(path, "onnxruntime").encode(np.ones((2, NUM_MELS, 20), np.float32))
    content = json.loads(description_path(path).read_text())
    content["input_layout"] = "BTF"
    description_path(path).write_text(json.dumps(content))
    with pytest.raises(InputError, match="inputs do not fit the sizes beside them"):
        load_engine(path, "onnxruntime")


@SLOW
@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_guides_batches_of_200_frames_are_fixed_sizes_of_a_mindir(batch_size, tmp_path):
    source, run = make("guide", tmp_path)
    options = (*KEYS["guide"], f"--batch_size={batch_size}", "--length=200", BOTH, "--input_layout=BFT")
    path = write_toy(source, tmp_path / "m.mindir", *options)
    exported = ExportedModel.read(path)
    assert exported.inputs[0]["shape"] == [batch_size, NUM_MELS, 200]
    assert [output["shape"] for output in exported.outputs] == [[batch_size, 6], [batch_size, 200, 12]]
    check(path, run, [(batch_size, 200)], ".mindir")


def test_model_with_zeros_at_the_edges_is_not_folded(tmp_path):
    source = make_checkpoint(tmp_path, padding="zero")
    plain, _ = load_model(source)
    with_fold, _ = load_model(source, fold=True)
    assert type(plain) is type(with_fold)
