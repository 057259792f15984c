"""Toys: two voices that are tones, a network that detects them by their bands, and a model that separates them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from mindvox.diarization.frames import FRAME_STEP
from mindvox.diarization.segmentation import Segmenter
from mindvox.frontend.kaldi_fbank import KaldiFbank

RATE = 16000
PITCHES = {"low": 400.0, "high": 2500.0}


def voice(name: str, seconds: float) -> np.ndarray:
    return (0.2 * np.sin(2 * np.pi * PITCHES[name] * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def talk(*turns: tuple[str, float, float], duration_s: float) -> np.ndarray:
    """Return a recording in which each voice sounds from start to end, in s, over very soft noise."""
    waveform = 1e-4 * np.random.default_rng(0).standard_normal(round(duration_s * RATE)).astype(np.float32)
    for name, start_s, end_s in turns:
        first = round(start_s * RATE)
        own = voice(name, end_s - start_s)[: len(waveform) - first]
        waveform[first : first + len(own)] += own
    return waveform


class BandSegmenter(Segmenter):
    """A toy network that detects a voice if its band is loud; speakers are numbered by first appearance in a window."""

    def __init__(self) -> None:
        self.num_batches = 0

    def activity(self, waveforms: np.ndarray) -> np.ndarray:
        self.num_batches += 1
        num_frames = 1 + (waveforms.shape[1] - 991) // FRAME_STEP
        frames = np.stack([waveforms[:, first * FRAME_STEP :][:, :991] for first in range(num_frames)], axis=1)
        power = np.abs(np.fft.rfft(frames * np.hanning(991), axis=2))
        heard = [power[:, :, round(pitch * 991 / RATE)] > 5 for pitch in PITCHES.values()]
        found = np.zeros((*heard[0].shape, 3), bool)
        for window in range(len(waveforms)):
            own = [active[window] for active in heard if active[window].any()]
            for place, active in enumerate(sorted(own, key=lambda active: int(active.argmax()))):
                found[window, :, place] = active
        return found


class OneVoiceSegmenter(BandSegmenter):
    """A toy network that merges all voices of a window into its first speaker, as happens with similar voices."""

    def activity(self, waveforms: np.ndarray) -> np.ndarray:
        heard = super().activity(waveforms)
        return np.concatenate([heard.any(axis=2, keepdims=True), np.zeros_like(heard[:, :, 1:])], axis=2)


def band_embedder() -> SimpleNamespace:
    """A model whose embedding is the mean spectrum, centred."""
    front_end = KaldiFbank(subtract_mean=False)

    def encode(batch: np.ndarray) -> np.ndarray:
        means = np.exp(batch / 4).mean(axis=1)
        return (means - means.mean(axis=1, keepdims=True)).astype(np.float32)

    exported = SimpleNamespace(num_frames=None, windows=None, input_kind="features", min_frames=3)
    exported.file_sha256 = exported.weights_sha256 = "0"
    exported.front_end = front_end.to_dict()
    engine = SimpleNamespace(exported=exported, encode=encode)
    return SimpleNamespace(front_end=front_end, engine=engine, emb_size=80, model_file=Path("bands.onnx"))
