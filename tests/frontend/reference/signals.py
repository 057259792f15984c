"""The waveforms of the front end's parity test: synthetic ones, and real speech by file name."""

import hashlib
from pathlib import Path

import numpy as np

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "data" / "mini_librispeech"
MAX_FRAMES = 50  # stored of one utterance
SAMPLE_RATE = 16000


def synthetic_waveforms() -> dict[str, np.ndarray]:
    """Return float32 waveforms by name; the square waves and the sine are at full scale."""
    waveforms = {f"noise_{length}": _noise(length) for length in (1, 399, 400, 401, 559, 16000, 48000, 48001)}
    waveforms["silence"] = np.zeros(16000, np.float32)
    waveforms["near_silence"] = 1e-6 * _noise(16000)
    waveforms["half_silence"] = np.concatenate([_noise(12345), np.zeros(20000, np.float32)])
    for half_period in (37, 100, 160):
        waveforms[f"square_{half_period}"] = _square(48000, half_period)
    seconds = np.arange(48000) / SAMPLE_RATE
    waveforms["sine"] = np.sin(2 * np.pi * 1000 * seconds).astype(np.float32)
    # Noise fills the bins that a clean chirp leaves to rounding, where SpeechBrain is 2e-3 dB off.
    chirp = np.sin(2 * np.pi * (50 + 1300 * seconds) * seconds)
    waveforms["chirp"] = (chirp + 1e-1 * _noise(48000)).astype(np.float32)
    waveforms["impulse"] = np.zeros(8000, np.float32)
    waveforms["impulse"][4000] = 1
    return waveforms


def speech_files() -> list[str]:
    """Return paths below CORPUS: the first utterance of every test reader and every twelfth training file."""
    test = sorted(path for path in CORPUS.glob("voxceleb1/wav/*/*/0000.flac"))
    train = sorted(CORPUS.glob("voxceleb12/wav/*/*/*.flac"))[::12]
    return [path.relative_to(CORPUS).as_posix() for path in test + train]


def stored_frames(name: str, num_frames: int) -> np.ndarray:
    """Return the indices of the frames that are stored of an utterance: all, or MAX_FRAMES drawn by its name."""
    if num_frames <= MAX_FRAMES:
        return np.arange(num_frames)
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return np.sort(np.random.default_rng(seed).choice(num_frames, MAX_FRAMES, replace=False))


def _noise(length: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(length).standard_normal(length)).astype(np.float32)


def _square(length: int, half_period: int) -> np.ndarray:
    return np.where(np.arange(length) // half_period % 2, -1, 1).astype(np.float32)
