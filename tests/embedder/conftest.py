"""Small exported models, and recordings for them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from mindvox.embedder import Embedder
from mindvox.engines.engine import Engine
from mindvox.engines.exported import ExportedModel
from mindvox.frontend import front_end_of
from tests.deploy.toy import NUM_MELS, make_checkpoint, write_toy
from tests.small_model import in_place_of_ecapa

FREE = ("--length=0", "--batch_size=0")
KALDI = {"type": "kaldi_fbank", "sample_rate": 16000, "n_mels": NUM_MELS, "win_length_ms": 25.0, "hop_length_ms": 10.0}
KALDI |= {"window": "povey", "waveform_scale": 1.0}
PUBLIC = "campplus_zh_en"  # whose place in the cache a toy takes
CARD = {
    "format_version": 1,
    "name": PUBLIC,
    "source": "",
    "licence": "",
    "sha256": "",
    "front_end": None,
    "language": "",
}
CARD["thresholds"] = {"same": 0.9, "different": 0.5, "why": "two words are not enough"}


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Small exported models by their kind of input; `kaldi` has Kaldi's front end."""
    folder = tmp_path_factory.mktemp("models")
    with in_place_of_ecapa():
        return export_all(folder)


def export_all(folder):
    checkpoint = make_checkpoint(folder / "ckpt")
    kaldi = make_checkpoint(folder / "kaldi_ckpt", front_end_of(KALDI))
    for name in ("features", "waveform", "fixed", "fixed_waveform", "kaldi"):
        (folder / name).mkdir()
    made = {
        "features": write_toy(checkpoint, folder / "features" / "model.onnx", *FREE),
        "waveform": write_toy(checkpoint, folder / "waveform" / "model.onnx", *FREE, "--input=waveform"),
        "fixed": write_toy(checkpoint, folder / "fixed" / "model.onnx", "--length=40", "--batch_size=2"),
        "fixed waveform": write_toy(
            checkpoint, folder / "fixed_waveform" / "model.onnx", "--length=40", "--batch_size=1", "--input=waveform"
        ),
        "kaldi": write_toy(kaldi, folder / "kaldi" / "model.onnx", *FREE),
    }
    (folder / "features" / "card.json").write_text(json.dumps(CARD))
    return made


@pytest.fixture(scope="session")
def embedders(models):
    return {kind: Embedder.open(path) for kind, path in models.items()}


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """A folder of recordings: usable ones of several lengths, rates and channels, and unusable ones."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "anna").mkdir()
    (folder / "bert").mkdir()
    soundfile.write(folder / "anna" / "1.wav", noise(8000, 1), 16000)
    soundfile.write(folder / "anna" / "2.flac", noise(8000, 2), 16000)
    soundfile.write(folder / "bert" / "1.wav", noise(8000, 3), 16000)
    soundfile.write(folder / "bert" / "phone.wav", noise(3000, 4), 8000)
    soundfile.write(folder / "bert" / "stereo.wav", np.stack([noise(20000, 5), noise(20000, 6)], axis=1), 44100)
    soundfile.write(folder / "short.wav", noise(700, 7), 16000)
    soundfile.write(folder / "silent.wav", np.zeros(8000), 16000)
    (folder / "text.wav").write_text("no recording")
    return folder


USABLE = ["anna/1.wav", "anna/2.flac", "bert/1.wav", "bert/phone.wav", "bert/stereo.wav"]
UNUSABLE = {"short.wav": "too short", "silent.wav": "constant signal", "text.wav": "not a readable audio file"}


def noise(num_samples, seed):
    """Return coloured noise (N,) with peaks below full scale; each seed has its own colour."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(num_samples)
    samples[1:] += rng.uniform(-0.9, 0.9) * samples[:-1]
    return 0.1 * samples


class Recorder:
    """A toy engine that records its batches; an embedding is the mean of each bin's absolute values.

    Args:
        answer: makes embeddings of a batch in its place.
        changes: of the description.
    """

    def __init__(self, models, answer=None, **changes):
        self.shapes = []
        self.answer = answer or (lambda batch: np.abs(batch).mean(axis=1))
        exported = replace(ExportedModel.read(models["features"]), emb_size=NUM_MELS, **changes)
        self.embedder = Embedder(
            models["features"], Engine("toy", exported, self.run), max_frames=exported.min_frames * 10
        )

    def run(self, batch):
        self.shapes.append(batch.shape[:2])
        return [self.answer(batch)]
