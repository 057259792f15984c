"""Exports that take waveforms: the front end inside is the checkpoint's, whichever that is."""

from pathlib import Path

import numpy as np
import pytest

import mindvox.deploy.export as export_module
from mindvox import registry
from mindvox.config import Config, load_config
from mindvox.deploy.export import export, random_input
from mindvox.engines.engine import libraries_of, load_engine
from mindvox.engines.exported import ExportedModel
from mindvox.frontend.kaldi_fbank import KaldiFbank
from mindvox.models import create_model
from mindvox.models.checkpoint import checkpoint_path, write_checkpoint
from tests.deploy.graphs import NOT_IN_LITE, graph_of, operators
from tests.deploy.toy import NUM_MELS, config_of, encoder, make_checkpoint, relative, uncompiled_encoder

NUM_FRAMES = 60
FRONT_ENDS = {
    "wespeaker": KaldiFbank(n_mels=NUM_MELS, window="hamming", waveform_scale=32768.0),
    "mean_kept": KaldiFbank(n_mels=NUM_MELS, subtract_mean=False),
}
STEPS = {  # front ends that between them have every step of a Cell
    "fbank": ("fbank", {"n_mels": 12}),
    "kaldi_fbank": ("kaldi_fbank", {"n_mels": 12}),
    "spectrogram": (
        "spectrogram",
        {"n_fft": 64, "win_length_ms": 3.0, "power": 1.0, "log": "db", "floor": 1e-5, "top_db": 60.0},
    ),
    "mel": (
        "mel_spectrogram",
        {
            **{"n_mels": 12, "n_fft": 512, "preemphasis": 0.97, "log": "natural", "offset": 1e-6},
            **{"feature_scale": 0.5, "feature_shift": 1.0, "normalisation": "instance"},
        },
    ),
    "mel between zeros": ("mel_spectrogram", {"n_mels": 12, "padding": "zero", "normalisation": "none"}),
    "mfcc": ("mfcc", {"n_mfcc": 12, "n_mels": 20}),
}
FORMATS = ["ONNX", *(pytest.param(name, marks=pytest.mark.slow) for name in ("MINDIR", "IR"))]
FREE, FIXED = ("--batch_size=0", "--length=0"), ("--mindir_version=1", "--batch_size=2", f"--length={NUM_FRAMES}")


@pytest.mark.parametrize("model", ["mean_model", pytest.param("ecapa_tdnn", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "sizes"), [("wespeaker", FREE), ("mean_kept", FIXED)])
def test_front_end_of_the_checkpoint_is_inside(toy_model, tmp_path, monkeypatch, name, sizes, model):
    front_end = FRONT_ENDS[name]
    if model == "mean_model":
        path, encode = export_behind(front_end, tmp_path, monkeypatch, *sizes)
    else:
        checkpoint = make_checkpoint(tmp_path, front_end)
        encode = encoder(checkpoint)
        # Export compares with the trained Cell; compiling it takes most of the time.
        monkeypatch.setattr(export_module, "cell_encoder", lambda *_: encode)
        path = export(config_of(checkpoint, tmp_path / "model.mindir", "--input=waveform", *sizes))
    num_samples = front_end.num_samples(NUM_FRAMES)
    waveforms = 0.1 * np.random.default_rng(0).standard_normal((2, num_samples), np.float32)
    feats = front_end.finish(np.stack([front_end(waveform) for waveform in waveforms]))
    assert feats.shape == (2, NUM_FRAMES, NUM_MELS)
    engine = load_engine(path)
    if sizes is FIXED:
        assert engine.exported.inputs[0]["shape"] == [2, num_samples]
    assert relative(engine.encode(waveforms), encode(feats)) <= 1e-3


@pytest.fixture
def toy_model(monkeypatch):
    """The model of tests/toys, registered."""
    monkeypatch.setattr(registry.MODELS, "_entries", dict(registry.MODELS._entries))
    registry.MODELS.add("mean_model", "tests.toys.mean_model:MeanModel")


def export_behind(front_end, folder: Path, monkeypatch, *words: str):
    """Return an export of the toy model behind a front end, and features to embeddings."""
    settings = {"name": "mean_model", "in_channels": front_end.size, "width": 12, "emb_size": 6}
    np.random.seed(0)
    model = create_model(settings).set_train(False)
    encode = uncompiled_encoder(model)
    checkpoint = checkpoint_path(folder, "mean_model", 1, 1)
    meta = {"model": settings, "front_end": front_end.to_dict(), "speakers_sha256": None, "epoch": 1, "step": 1}
    write_checkpoint(checkpoint, {f"model.{parameter.name}": parameter for parameter in model.get_parameters()}, meta)
    monkeypatch.setattr(export_module, "cell_encoder", lambda *_: encode)
    words = ("--config_path=/dev/null", f"--exp_ckpt_file={checkpoint}", f"--file_name={folder / 'm'}", *words)
    return export(load_config(Config, [*words, "--input=waveform", "--device_target=CPU"])), encode


@pytest.mark.parametrize(
    "file_format", ["ONNX", *(pytest.param(name, marks=pytest.mark.slow) for name in ("MINDIR", "IR"))]
)
@pytest.mark.parametrize("case", STEPS)
def test_any_size_has_the_numbers_of_the_front_end_in_every_engine(toy_model, case, file_format, tmp_path, monkeypatch):
    name, settings = STEPS[case]
    front_end = registry.FRONT_ENDS.get(name)(**settings)
    sizes = "--length=0", "--batch_size=0"
    path, encode = export_behind(front_end, tmp_path, monkeypatch, f"--file_format={file_format}", *sizes)
    if file_format == "MINDIR":
        assert not operators(graph_of(path)) & NOT_IN_LITE
    exported = ExportedModel.read(path)
    for library in libraries_of(exported):
        engine = load_engine(path, library)
        for num_frames in (5, 47):
            batch, feats = random_input(np.random.default_rng(num_frames), exported, num_frames)
            assert feats.shape == (2, num_frames, front_end.size)
            assert relative(engine.encode(batch), encode(feats)) <= 1e-3, engine.name


@pytest.mark.slow
@pytest.mark.parametrize("case", STEPS)
def test_fixed_sizes_are_written_for_old_readers(toy_model, case, tmp_path, monkeypatch):
    name, settings = STEPS[case]
    words = "--mindir_version=1", "--batch_size=2", "--length=40"
    path, encode = export_behind(registry.FRONT_ENDS.get(name)(**settings), tmp_path, monkeypatch, *words)
    batch, feats = random_input(np.random.default_rng(0), ExportedModel.read(path), 40)
    assert relative(load_engine(path).encode(batch), encode(feats)) <= 1e-3
