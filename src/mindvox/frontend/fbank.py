"""Log mel filterbank energies with the numbers of SpeechBrain's `Fbank`, and how features are cut and centred."""

import dataclasses
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft

from mindvox.errors import InputError

BLOCK_FRAMES = 320  # transformed at once: a crop of 3 s in one go, a long file in bounded memory
GROUP_MELS = 20  # filters in one matrix product: neighbours see few of the frequencies


@dataclass(frozen=True)
class FbankConfig:
    """The front end: what a store, a checkpoint and an exported model must agree on.

    Args:
        sample_rate: Hz.
        n_mels: filters, equally wide on the mel scale between `f_min` and `f_max`.
        n_fft: points of the Fourier transform, even.
        win_length_ms: length of the periodic Hamming window.
        hop_length_ms: distance between frames; the first is centred on the first sample, zeros stand outside.
        f_min: lowest frequency of the filters, Hz.
        f_max: highest frequency of the filters, Hz.
        amin: least power of a filter.
        top_db: range below the greatest value of the waveform to which features are limited, dB.
    """

    sample_rate: int = 16000
    n_mels: int = 80
    n_fft: int = 400
    win_length_ms: float = 25.0
    hop_length_ms: float = 10.0
    f_min: float = 0.0
    f_max: float = 8000.0
    amin: float = 1e-10
    top_db: float = 80.0

    def __post_init__(self) -> None:
        if self.n_mels < 1 or self.hop_length < 1 or not 1 <= self.win_length <= self.n_fft or self.n_fft % 2:
            raise ValueError(f"expected n_mels >= 1, hop >= 1 sample, 1 <= window <= n_fft, an even n_fft, got {self}.")
        if not 0 <= self.f_min < self.f_max <= self.sample_rate / 2:
            raise ValueError(f"expected 0 <= f_min < f_max <= sample_rate / 2, got {self}.")
        if self.amin <= 0 or self.top_db <= 0:
            raise ValueError(f"expected amin > 0 and top_db > 0, got {self}.")

    @property
    def win_length(self) -> int:
        """Window length, samples."""
        return round(self.sample_rate * self.win_length_ms / 1000)

    @property
    def hop_length(self) -> int:
        """Distance between frames, samples."""
        return round(self.sample_rate * self.hop_length_ms / 1000)

    def num_frames(self, num_samples: int) -> int:
        """Return the number of frames of a waveform."""
        return 1 + num_samples // self.hop_length

    def to_dict(self) -> dict[str, Any]:
        """Return the form that is stored beside features and in models."""
        return {"type": "fbank", **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], where: str = "front end") -> "FbankConfig":
        """Build the configuration from its stored form.

        Args:
            where: the file that it came from, for the error.

        Raises:
            InputError: it is another front end, a key is missing or unknown, or a value is impossible.
        """
        default = cls().to_dict()
        if stored.get("type") != "fbank" or set(stored) != set(default):
            raise InputError(f"{where}: expected a front end of type fbank with {sorted(default)}, got {dict(stored)}.")
        try:
            return cls(**{key: value for key, value in stored.items() if key != "type"})
        except (TypeError, ValueError) as error:
            raise InputError(f"{where}: impossible front end: {error}") from None


def check_front_end(expected: Mapping[str, Any], got: Mapping[str, Any], where: str) -> None:
    """Compare two stored front ends.

    Args:
        expected: what the reader was made with, from `FbankConfig.to_dict`.
        got: what `where` was made with.
        where: file or folder of `got`.

    Raises:
        InputError: they differ; the message names the keys.
    """
    if expected.get("type") != got.get("type"):
        raise InputError(
            f"{where}: made with front end {got.get('type')}, expected {expected.get('type')}: other features "
            "altogether. This project makes fbank only; a model that takes others is of use with features that you "
            "bring (docs/weights.md)."
        )
    differing = [key for key in sorted({*expected, *got}) if expected.get(key) != got.get(key)]
    if differing:
        listed = ", ".join(f"{key} {got.get(key)} (expected {expected.get(key)})" for key in differing)
        raise InputError(f"{where}: made with another front end: {listed}. Prepare the data anew for this model.")


class Fbank:
    """Turn a waveform into log mel filterbank energies in dB, before mean subtraction.

    The filters are SpeechBrain's: triangles of height 1 around equally spaced mel frequencies, both sides as wide as
    the distance to the filter below. The floor, `top_db` under the greatest value, is that of the waveform given:
    features that are cut afterwards keep the floor of the whole.

    The transform is computed in double precision: single, SpeechBrain's too, is up to 5e-3 dB off far below a frame's
    strongest bin. What follows only adds and takes logarithms of what is positive, and is single.

    Args:
        config: the parameters.
        dtype: of the transform; float32 is as exact as SpeechBrain and a third faster, for crops that are used once.
    """

    def __init__(self, config: FbankConfig = FbankConfig(), dtype: type[np.floating] = np.float64) -> None:  # frozen
        self.config = config
        self.dtype: np.dtype = np.dtype(dtype)
        self._window: np.ndarray = periodic_hamming(config.win_length, config.n_fft).astype(dtype)
        self._filters = _grouped(mel_filters(config).astype(np.float32))
        self._work = _Work(config.n_fft, self.dtype)

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """Return features (T, F), float32, T = 1 + N // hop.

        Args:
            waveform: (N,), floating, full scale 1, at `sample_rate`.

        Raises:
            ValueError: the waveform is empty, not one-dimensional or not of a floating type.
        """
        waveform = np.asarray(waveform)
        if waveform.ndim != 1 or waveform.size == 0 or waveform.dtype.kind != "f":
            raise ValueError(f"expected floating samples (N,), N >= 1, got {waveform.dtype} {waveform.shape}.")
        config = self.config
        feats = np.empty((config.num_frames(len(waveform)), config.n_mels), np.float32)
        for first in range(0, len(feats), BLOCK_FRAMES):
            block = feats[first : first + BLOCK_FRAMES]
            self._energies(self._frames(waveform, first, len(block)), out=block)
        with np.errstate(divide="ignore"):  # of silence -inf, which the floor replaces
            np.log(feats, out=feats)  # several times faster than log10
        feats *= np.float32(10 / np.log(10))
        return np.maximum(feats, max(10 * np.log10(config.amin), feats.max() - config.top_db), out=feats)

    def _frames(self, waveform: np.ndarray, first: int, count: int) -> np.ndarray:
        """Return frames `first` to `first + count` (count, n_fft), with zeros outside the waveform."""
        config = self.config
        start = first * config.hop_length - config.n_fft // 2
        inside = waveform[max(0, start) : start + (count - 1) * config.hop_length + config.n_fft]
        dtype = self.dtype if waveform.dtype > self.dtype else waveform.dtype
        padded = np.zeros((count - 1) * config.hop_length + config.n_fft, dtype)
        padded[max(0, -start) :][: len(inside)] = inside
        step = padded.itemsize
        return np.lib.stride_tricks.as_strided(  # sliding_window_view takes three times as long
            padded, (count, config.n_fft), (config.hop_length * step, step), writeable=False
        )

    def _energies(self, frames: np.ndarray, out: np.ndarray) -> None:
        """Set `out` (T, F) to the energies in each filter of frames (T, n_fft)."""
        windowed = np.multiply(frames, self._window, out=self._work.windowed[: len(frames)])
        parts = scipy.fft.rfft(windowed, axis=1, overwrite_x=True).view(self.dtype)  # real and imaginary in turn
        parts *= parts
        power = np.add(parts[:, ::2], parts[:, 1::2], out=self._work.power[: len(frames)], casting="same_kind")
        for frequencies, mels, weights in self._filters:
            np.matmul(power[:, frequencies], weights, out=out[:, mels])

    def __reduce__(self) -> tuple:
        return Fbank, (self.config, self.dtype)


class _Work(threading.local):
    """Arrays that one call after the other uses: large ones, made anew, cost a page fault for every 4 kB."""

    def __init__(self, n_fft: int, dtype: np.dtype) -> None:
        self.windowed = np.empty((BLOCK_FRAMES, n_fft), dtype)
        self.power = np.empty((BLOCK_FRAMES, n_fft // 2 + 1), np.float32)


def periodic_hamming(length: int, n_fft: int) -> np.ndarray:
    """Return the window (n_fft,), centred between zeros when it is shorter than the transform."""
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(length) / length)
    left = (n_fft - length) // 2
    return np.pad(window, (left, n_fft - length - left))


def mel_filters(config: FbankConfig) -> np.ndarray:
    """Return the weights (n_fft // 2 + 1, n_mels) of each frequency in each filter."""
    mel = np.linspace(_hz_to_mel(config.f_min), _hz_to_mel(config.f_max), config.n_mels + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    centre, width = edges[1:-1], np.diff(edges)[:-1]
    frequency = np.arange(config.n_fft // 2 + 1)[:, None] * config.sample_rate / config.n_fft
    return np.maximum(0, 1 - np.abs(frequency - centre) / width)


def _grouped(filters: np.ndarray) -> list[tuple[slice, slice, np.ndarray]]:
    """Split (frequencies, n_mels) into groups of filters: the frequencies they see, which they are, their weights."""
    groups = []
    for first in range(0, filters.shape[1], GROUP_MELS):
        mels = slice(first, first + GROUP_MELS)
        seen = np.flatnonzero(filters[:, mels].any(axis=1))
        frequencies = slice(seen[0], seen[-1] + 1) if len(seen) else slice(0, 1)
        groups.append((frequencies, mels, np.ascontiguousarray(filters[frequencies, mels])))
    return groups


def _hz_to_mel(frequency: float) -> float:
    return 2595 * np.log10(1 + frequency / 700)


def repeat_to(x: np.ndarray, length: int) -> np.ndarray:
    """Return the first `length` entries of `x` (..., after it its start again) along axis 0.

    Args:
        x: (N, ...), N >= 1: a waveform or features.
    """
    if len(x) >= length:
        return x[:length]
    return np.concatenate([x] * -(-length // len(x)))[:length]


def cut_frames(feats: np.ndarray, num_frames: int) -> np.ndarray:
    """Return the first `num_frames` frames (T, F); what is shorter is repeated from its start."""
    return repeat_to(feats, num_frames)


def window_edges(num_frames: int, max_frames: int) -> np.ndarray:
    """Return the edges of the windows that a long utterance is embedded in, so that memory has a bound.

    The windows are as few as possible and about equally long: n = ceil(num_frames / max_frames), and window i covers
    the frames from edge i, floor(i * num_frames / n), to edge i + 1. The C++ program has the same rule.

    Args:
        num_frames: frames of the utterance.
        max_frames: most frames of a window; 0: no limit, one window.

    Returns:
        The edges (n + 1,), from 0 to num_frames.
    """
    num_windows = -(-num_frames // max_frames) if max_frames else 1
    return np.arange(num_windows + 1) * num_frames // num_windows


def subtract_mean(feats: np.ndarray) -> np.ndarray:
    """Return features (..., T, F) with a mean of zero over their frames in each bin."""
    mean = feats.mean(axis=-2, keepdims=True, dtype=np.float64)  # a sum of many frames in float32 drifts
    return feats - mean.astype(feats.dtype)
