"""Exports for old readers of MINDIR. tests/ascend310_infer/test_real_lite.py runs them in MindSpore Lite 2.0.0."""

import numpy as np
import onnx
import pytest
from mindspore import Parameter, Tensor

import mindvox.deploy.export as export_module
from mindvox.deploy.export import export
from mindvox.deploy.mindir import OPTIONS
from mindvox.deploy.old_mindir import SHARED, lower, lower_mindir
from mindvox.engines.engine import load_engine
from mindvox.engines.exported import ExportedModel
from mindvox.errors import InputError, UsageError
from mindvox.files import sha256_file
from mindvox.frontend.frames import subtract_mean
from mindvox.models.checkpoint import read_checkpoint, write_checkpoint
from tests.deploy.graphs import NOT_IN_LITE, graph_of, mind_ir_pb2, operators
from tests.deploy.toy import (
    FRONT_END,
    config_of,
    encoder,
    make_checkpoint,
    random_feats,
    relative,
    uncompiled_encoder,
    write_toy,
)
from tests.small_model import in_place_of_ecapa

BOUND = 5e-6  # float32 sums in another order
WAVEFORM_BOUND = 1e-4  # and features that are up to 3e-3 dB off in a few bins
FREE = ("--length=0", "--batch_size=0")


@pytest.fixture(autouse=True)
def reference_is_not_compiled(trained, monkeypatch):
    monkeypatch.setattr(export_module, "cell_encoder", lambda *_: trained)


@pytest.mark.parametrize(
    "sizes",
    [pytest.param(("--length=40", "--batch_size=2"), marks=pytest.mark.slow), ("--length=0", "--batch_size=0")],
)
def test_old_mindir_is_written_tested_and_described(checkpoint, trained, tmp_path, capsys, sizes):
    path = export(config_of(checkpoint, tmp_path / "m", "--mindir_version=1", *sizes))
    assert "max difference from the checkpoint's embeddings" in capsys.readouterr().out
    exported = ExportedModel.read(path)
    assert (exported.mindir_version, exported.least_lite) == (1, "2.0.0")
    assert exported.file_sha256 == sha256_file(path)
    model = graph_of(path)
    assert model.mind_ir_version == 1
    assert operators(model) <= SHARED | OPTIONS.keys() | {"Constant"}
    feats = random_feats(2, 40)
    assert relative(load_engine(path).encode(feats), trained(feats)) <= BOUND


def test_new_mindir_says_so(checkpoint, tmp_path):
    exported = ExportedModel.read(write_toy(checkpoint, tmp_path / "m.mindir", *FREE))
    assert exported.mindir_version == 3 and exported.least_lite.startswith("2.")


def test_old_mindir_of_a_waveform_model_with_attention(checkpoint, trained, tmp_path):
    options = ("--input=waveform", "--outputs=embedding,attention", "--length=20", "--batch_size=2")
    path = export(config_of(checkpoint, tmp_path / "m", "--mindir_version=1", *options))
    waveforms = 0.1 * np.random.default_rng(0).standard_normal((2, 3040), np.float32)
    feats = subtract_mean(np.stack([FRONT_END(waveform) for waveform in waveforms]))
    embedding, attention = load_engine(path).run(waveforms)
    assert relative(embedding, trained(feats)) <= WAVEFORM_BOUND
    np.testing.assert_allclose(attention.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("target", "sizes"), [("CPU", ("--length=40", "--batch_size=1")), ("Ascend", ("--length=0", "--batch_size=0"))]
)
def test_no_export_has_an_operator_that_lites_converter_does_not_know(checkpoint, tmp_path, target, sizes):
    options = (f"--device_target={target}", "--outputs=embedding,attention")
    path = write_toy(checkpoint, tmp_path / "m.mindir", *options, *sizes, target=target)
    assert not operators(graph_of(path)) & NOT_IN_LITE


def test_wespeakers_model_of_fixed_size_is_written(tmp_path):
    checkpoint = make_checkpoint(tmp_path, name="wespeaker_ecapa", mfa_channels=24)
    options = ("--model=wespeaker_ecapa", "--mindir_version=1", "--length=30", "--batch_size=2")
    path = write_toy(checkpoint, tmp_path / "m.mindir", *options)
    feats = random_feats(2, 30)
    assert relative(load_engine(path).encode(feats), encoder(checkpoint)(feats)) <= BOUND


def test_unknown_operators_are_named_and_nothing_is_written(tmp_path):
    checkpoint = make_checkpoint(tmp_path / "ckpt", name="wespeaker_ecapa", mfa_channels=24)
    options = ("--model=wespeaker_ecapa", "--mindir_version=1", "--length=0", "--batch_size=0")
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"version 1: not known how it writes OnesLike, .*with --mindir_version=3"):
        export(config_of(checkpoint, tmp_path / "out" / "m", *options))
    assert not list((tmp_path / "out").iterdir())


def test_other_data_formats_are_refused():
    """Second variant: an option that is known, with a value that is not."""
    model = mind_ir_pb2.ModelProto()
    model.primitives.add(name="BiasAdd:1", op_type="BiasAdd")
    constant = model.graph.node.add(op_type="Constant", output=["format"])
    constant.attribute.add(name="value", type=mind_ir_pb2.AttributeProto.INT64, i=1)
    model.graph.node.add(op_type="REF::BiasAdd:1", input=["x", "bias", "format"], output=["y"])
    with pytest.raises(InputError, match="BiasAdd has a format other than NCHW"):
        lower(model)


@pytest.mark.parametrize("content", [b"", b"no model", None], ids=["empty", "text", "cut off"])
def test_damaged_files_are_refused(checkpoint, tmp_path, content):
    path = tmp_path / "m.mindir"
    path.write_bytes(write_toy(checkpoint, path, *FREE).read_bytes()[:-1000] if content is None else content)
    with pytest.raises(InputError, match=r"m\.mindir: (not a whole|a) MINDIR"):
        lower_mindir(path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--mindir_version=2"], "expected one of 1, 3"),
        (["--mindir_version=1", "--file_format=ONNX"], "1 needs file_format MINDIR, got ONNX"),
        (["--mindir_version=1", "--input=waveform", "--length=0"], "needs a batch_size and a length above 0"),
    ],
)
def test_impossible_keys_are_refused(checkpoint, tmp_path, options, said):
    with pytest.raises(UsageError, match=said):
        config_of(checkpoint, tmp_path / "m", *options)


def test_every_convolution_of_an_onnx_says_its_stride(checkpoint, tmp_path):
    graph = onnx.load(write_toy(checkpoint, tmp_path / "m.onnx", "--input=waveform", *FREE)).graph
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    assert all("strides" in {attribute.name for attribute in node.attribute} for node in convolutions)


# The kind: a restriction of MindSpore's on names. Second variants: a folder with Chinese letters, and the folder for
# temporary files; checkpoints, stores and MINDIR are read and written under the same names.
@pytest.mark.parametrize("name", [pytest.param("my exp+aug/m", marks=pytest.mark.slow), "模型/50% [a]'b+c"])
def test_any_name_can_be_exported_to(graphs_compiled_again, tmp_path, name, monkeypatch):
    monkeypatch.setattr(export_module, "cell_encoder", uncompiled_encoder)
    with in_place_of_ecapa():
        path = export(config_of(make_checkpoint(tmp_path), tmp_path / name, "--length=40", "--batch_size=1"))
    assert path == tmp_path / f"{name}.mindir" and path.is_file()


def test_a_temporary_folder_of_any_name_will_do(graphs_compiled_again, tmp_path, monkeypatch):
    odd = tmp_path / "a +ü"
    odd.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(odd))
    with in_place_of_ecapa():
        assert write_toy(make_checkpoint(tmp_path), tmp_path / "m.mindir", shared=False).is_file()


def test_checkpoints_are_written_and_read_under_any_name(checkpoint, tmp_path):
    arrays, meta = read_checkpoint(checkpoint)
    parameters = {name: Parameter(Tensor(array)) for name, array in arrays.items()}
    for name in ("my exp", "exp+aug", "模型"):
        path = tmp_path / name / "c.ckpt"
        write_checkpoint(path, parameters, meta)
        found, _ = read_checkpoint(path)
        assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
