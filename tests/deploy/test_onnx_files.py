"""The ONNX graph and the IR made of it, in ONNX Runtime and OpenVINO."""

import itertools
import subprocess
import sys
from collections import Counter

import numpy as np
import onnx
import pytest

from mindvox.config import ROOT
from mindvox.engines.engine import load_engine
from mindvox.engines.exported import ExportedModel
from mindvox.errors import InputError
from mindvox.frontend.frames import subtract_mean
from mindvox.frontend.kaldi_fbank import KaldiFbank
from tests.deploy.toy import (
    FRONT_END,
    NUM_MELS,
    encoder,
    make_checkpoint,
    random_feats,
    relative,
    save_description,
    write_toy,
)

pytest.importorskip("openvino", reason="needs the extra onnx")

BOUND = 5e-6  # float32 sums in another order; measured: 1e-6
WAVEFORM_BOUND = 1e-4  # and features that are up to 3e-3 dB off in a few bins; measured: 2e-6
FREE = ("--batch_size=0", "--length=0", "--outputs=embedding,attention")
KINDS = ("features", "waveform")
LIBRARIES = {".onnx": ("onnxruntime", "openvino"), ".xml": ("openvino",)}

LOAD_TWO_THEN_SIGNAL = """
import signal, sys
from mindvox.engines.engine import load_engine
first, second = (load_engine(sys.argv[1], "openvino") for _ in range(2))
del first
del second
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
signal.raise_signal(signal.SIGTERM)
"""


@pytest.fixture(scope="module")
def files(checkpoint, tmp_path_factory):
    """Models of free sizes by suffix and kind of input."""
    folder = tmp_path_factory.mktemp("models")
    return {
        (suffix, kind): write_toy(checkpoint, folder / f"{kind}{suffix}", *FREE, f"--input={kind}")
        for suffix, kind in itertools.product(LIBRARIES, KINDS)
    }


@pytest.fixture(scope="module")
def loaded(files):
    """Each of these models in each library, by kind of input."""
    return {
        kind: [engine for (_, of), path in files.items() if of == kind for engine in engines(path)] for kind in KINDS
    }


def engines(path):
    return [load_engine(path, library) for library in LIBRARIES[path.suffix]]


@pytest.mark.parametrize(("size", "num_frames"), [(1, 9), (3, 101)])
def test_any_batch_and_length_has_the_trained_embeddings(loaded, trained, size, num_frames):
    feats = random_feats(size, num_frames)
    expected = trained(feats)
    for engine in loaded["features"]:
        embedding, attention = engine.run(feats)
        assert relative(embedding, expected) <= BOUND, engine.name
        assert attention.shape == (size, num_frames, 48)
        np.testing.assert_allclose(attention.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("num_samples", [1280, 8159])
def test_waveforms_have_the_embeddings_of_their_features(loaded, trained, num_samples):
    waveforms = 0.1 * np.random.default_rng(0).standard_normal((2, num_samples), np.float32)
    waveforms[1] *= np.linspace(0, 1, num_samples, dtype=np.float32) ** 8  # reaches the floor under the loudest
    feats = subtract_mean(np.stack([FRONT_END(waveform) for waveform in waveforms]))
    expected = trained(feats)
    for engine in loaded["waveform"]:
        embedding, attention = engine.run(waveforms)
        assert relative(embedding, expected) <= WAVEFORM_BOUND, engine.name
        assert attention.shape[1] == feats.shape[1]


@pytest.mark.parametrize("kind", KINDS)
def test_fixed_sizes_stand_in_the_file_and_other_sizes_are_refused(checkpoint, trained, tmp_path, kind):
    path = write_toy(checkpoint, tmp_path / "m.onnx", "--batch_size=2", "--length=20", f"--input={kind}")
    (value,) = onnx.load(path).graph.input
    expected = {"features": [2, 20, NUM_MELS], "waveform": [2, 19 * 160]}[kind]
    assert [size.dim_value for size in value.type.tensor_type.shape.dim] == expected
    for engine in engines(path):
        batch = np.random.default_rng(0).standard_normal((3, *expected[1:]), np.float32)
        assert engine.encode(batch).shape == (3, 6)  # a full batch of two, and one that is filled up
        np.testing.assert_allclose(engine.encode(batch[2:]), engine.encode(batch)[2:], rtol=1e-5, atol=1e-6)
        with pytest.raises(InputError, match="the model takes"):
            engine.encode(batch[:, 1:])


def test_without_global_context_the_embeddings_are_the_trained_ones(tmp_path):
    from mindspore import Tensor

    from mindvox.models import load_model
    from tests.deploy.toy import without_compiling

    checkpoint = make_checkpoint(tmp_path, global_context=False)
    path = write_toy(checkpoint, tmp_path / "m.onnx", "--global_context=false", "--batch_size=0", "--length=0")
    feats = random_feats(1, 30)
    with without_compiling():
        expected = load_model(checkpoint)[0](Tensor(feats)).asnumpy()
    engine = load_engine(path, "onnxruntime")
    assert relative(engine.encode(feats), expected) <= BOUND


def test_another_architecture_behind_kaldis_filterbanks_has_its_embeddings(tmp_path):
    front_end = KaldiFbank(n_mels=NUM_MELS)
    checkpoint = make_checkpoint(tmp_path, front_end, name="wespeaker_ecapa", mfa_channels=24)
    options = ("--model=wespeaker_ecapa", "--batch_size=0", "--length=0", "--input=waveform")
    waveforms = 0.1 * np.random.default_rng(0).standard_normal((2, 9001), np.float32)
    expected = encoder(checkpoint)(np.stack([front_end.finish(front_end(waveform)) for waveform in waveforms]))
    for engine in engines(write_toy(checkpoint, tmp_path / "m.onnx", *options)):
        assert relative(engine.encode(waveforms), expected) <= WAVEFORM_BOUND, engine.name


def test_graph_is_the_deployment_form(files):
    graph = onnx.load(files[".onnx", "features"]).graph
    counts = Counter(node.op_type for node in graph.node)
    # No norm, no mask, no shape that is computed; convolutions over time with their biases, and mirrored edges.
    assert set(counts) == {
        *(
            "Add",
            "Concat",
            "Conv",
            "Max",
            "Mul",
            "Pad",
            "ReduceMean",
            "ReduceSum",
            "Relu",
            "Sigmoid",
            "Softmax",
            "Split",
        ),
        *("Sqrt", "Squeeze", "Sub", "Tanh", "Transpose"),
    }
    assert (counts["Conv"], counts["Pad"], counts["Squeeze"], counts["Transpose"], counts["Tanh"]) == (39, 22, 1, 2, 1)
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert all(len(weights[node.input[1]]) == 3 for node in convolutions)
    assert sum(len(node.input) == 2 for node in convolutions) == 2  # the context's product, and the attention's last
    seen = [weights[node.input[1]][1] for node in convolutions]
    assert 3 * 48 not in seen  # attention's first product never sees [x; mean; deviation] of a frame
    assert [size.dim_param for size in graph.input[0].type.tensor_type.shape.dim[:2]] == ["batch", "frames"]


def test_file_says_what_it_is(files):
    exported = ExportedModel.read(files[".onnx", "features"])
    found = {prop.key: prop.value for prop in onnx.load(files[".onnx", "features"]).metadata_props}
    assert found == exported.metadata()
    assert found["checkpoint_sha256"] == exported.checkpoint_sha256 and '"n_mels": 16' in found["front_end"]


@pytest.mark.parametrize("suffix", LIBRARIES)
def test_description_of_another_front_end_is_refused(files, tmp_path, suffix):
    path = copy(files[suffix, "features"], tmp_path)
    exported = ExportedModel.read(files[suffix, "features"])
    save_description(path, exported, front_end={**exported.front_end, "top_db": 60.0})
    library = LIBRARIES[suffix][0]
    with pytest.raises(InputError, match="its metadata and .* differ in front_end"):
        load_engine(path, library)


@pytest.mark.parametrize("suffix", LIBRARIES)
def test_description_of_other_sizes_is_refused(files, tmp_path, suffix):
    path = copy(files[suffix, "features"], tmp_path)
    save_description(path, ExportedModel.read(files[suffix, "features"]), num_frames=301)
    with pytest.raises(InputError, match="num_frames|describes feats any x 301 x 16"):
        load_engine(path, "openvino")


@pytest.mark.parametrize("library", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("content", [b"", b"no model", None], ids=["empty", "text", "cut off"])
def test_damaged_model_with_a_matching_description_is_refused(files, tmp_path, library, content):
    path = copy(files[".onnx", "features"], tmp_path)
    path.write_bytes(path.read_bytes()[:-1000] if content is None else content)
    save_description(path, ExportedModel.read(files[".onnx", "features"]))
    with pytest.raises(InputError, match="cannot load it"):
        load_engine(path, library)


def test_signal_after_two_openvino_engines_is_handled(files):
    command = [sys.executable, "-c", LOAD_TWO_THEN_SIGNAL, str(files[".onnx", "features"])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("handled\n", 0), done.stderr


def test_weights_of_another_ir_are_refused(files, tmp_path):
    path = copy(files[".xml", "features"], tmp_path)
    content = bytearray(path.with_suffix(".bin").read_bytes())
    content[100] ^= 1
    path.with_suffix(".bin").write_bytes(content)
    with pytest.raises(InputError, match=r"features\.bin: not the file that .* describes"):
        ExportedModel.read(path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(InputError, match=r"features\.bin: no such file"):
        ExportedModel.read(path)


def copy(path, folder):
    """Copy a model with what belongs to it."""
    for part in (path, path.with_name(f"{path.name}.json"), path.with_suffix(".bin")):
        if part.is_file():
            (folder / part.name).write_bytes(part.read_bytes())
    return folder / path.name
