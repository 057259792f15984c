"""Toys: voices of coloured noise, a model that embeds the colour, and a detector that takes loud samples for speech."""

import json
from pathlib import Path

import numpy as np

from mindvox.embedder import Embedder
from mindvox.engines.engine import Engine
from mindvox.engines.exported import ExportedModel
from mindvox.frontend.fbank import Fbank
from mindvox.speakers.listening import Listener

RATE = 16000
NUM_BANDS = 16
SAME, DIFFERENT = 0.7, 0.4
CARD = {"format_version": 1, "name": "toy", "source": "", "licence": "", "sha256": "", "front_end": None}
CARD |= {"language": "", "thresholds": {"same": SAME, "different": DIFFERENT, "why": "they are toys"}}
FRONT_END = Fbank().to_dict()


def voice(speaker, seed=0, duration_s=3.0, level=0.1):
    """Return samples (N,), float32, of a speaker: bursts of noise whose spectrum is the speaker's own."""
    num_samples = round(duration_s * RATE)
    spectrum = np.fft.rfft(np.random.default_rng([speaker, seed, 1]).standard_normal(num_samples))
    signs = [(-1) ** bin(speaker & band).count("1") for band in range(NUM_BANDS)]  # orthogonal for 1 to 15
    gains = np.exp(0.5 * np.array(signs))
    spectrum *= np.repeat(gains, -(-len(spectrum) // NUM_BANDS))[: len(spectrum)]
    samples = np.fft.irfft(spectrum, num_samples)
    samples[np.arange(num_samples) % 4000 // 800 == 1] *= 0.01  # between the words
    return (level * samples / samples.std()).clip(-0.99, 0.99).astype(np.float32)


class LoudIsSpeech:
    """A toy detector: speech is from the first to the last sample above 0.01 of full scale."""

    def segments(self, waveform):
        loud = np.flatnonzero(np.abs(waveform) > 0.01)
        return [(loud[0] / RATE, (loud[-1] + 1) / RATE)] if len(loud) else []


def toy_embedder(folder: Path, card=CARD) -> Embedder:
    """Return a model whose embedding is the log power in bands; `card` is the model's card, None: no card."""
    if card is not None:
        (folder / "card.json").write_text(json.dumps(card))
    exported = ExportedModel(
        *("ONNX", "waveform", None, None, 1, 80, NUM_BANDS, {}, "float32", None),
        front_end=FRONT_END,
        model={"name": "toy"},
        checkpoint_sha256="0" * 64,
        file_sha256="1" * 64,
        weights_sha256=None,
    )
    return Embedder(folder / "model.onnx", Engine("toy", exported, _log_powers))


def toy_listener(folder: Path, card=CARD) -> Listener:
    return Listener(toy_embedder(folder, card), LoudIsSpeech())


def _log_powers(batch):
    powers = np.abs(np.fft.rfft(batch, axis=1)) ** 2
    bands = np.array_split(powers, NUM_BANDS, axis=1)
    logs = np.log(np.stack([band.mean(axis=1) for band in bands], axis=1))
    return [(logs - logs.mean(axis=1, keepdims=True)).astype(np.float32)]
