"""Shared code of filterbanks: blocks of frames in bounded memory, one Fourier transform a block, grouped filters."""

import threading
from collections.abc import Callable
from typing import Any, Optional

import numpy as np

from mindvox.frontend.front_end import FrontEnd

BLOCK_FRAMES = 320  # frames transformed together: a crop of 3 s at once, a long file in bounded memory
MOST_PRODUCTS = 1 << 18  # in a matrix product: for more, OpenBLAS wakes its threads, which spin for 27 ms afterwards


class Filterbank(FrontEnd):
    """A front end that takes the energy of each frame in filters, or at each frequency; see `FrontEnd`.

    With float64, only the transform is computed in double precision. The rest adds positive values and takes
    logarithms, for which single precision suffices.

    Args:
        dtype, settings: see `FrontEnd`.

    Attributes:
        takes_magnitudes: whether the filters weigh magnitudes instead of powers.
    """

    takes_magnitudes = False

    def __init__(self, dtype: type = np.float64, **settings: Any) -> None:
        super().__init__(dtype, **settings)
        filters = self.filters()
        self._filters = None if filters is None else _grouped(filters.astype(np.float32))
        self._num_energies = self.n_fft // 2 + 1 if filters is None else filters.shape[1]
        self._scratch = _Scratch(self.n_fft, self.dtype)
        self._rfft = _rfft(self.dtype)

    @property
    def n_fft(self) -> int:
        """Points of the Fourier transform, even."""
        return self.options.n_fft

    @property
    def win_length(self) -> int:
        """Length of a frame, samples."""
        return rounded_samples(self.options.win_length_ms, self.sample_rate)

    @property
    def hop_length(self) -> int:
        """Distance between two frames, samples."""
        return rounded_samples(self.options.hop_length_ms, self.sample_rate)

    @property
    def frame_shift_s(self) -> float:
        return self.hop_length / self.sample_rate

    def filters(self) -> Optional[np.ndarray]:
        """Return the weight of each frequency in each filter, (n_fft // 2 + 1, M); None: there are no filters."""
        raise NotImplementedError

    def analysis(self) -> np.ndarray:
        """Return windowing and Fourier transform of a frame as one matrix (2 * K, W), float64.

        The rows are the cosines of K frequencies, then their sines; W is the number of samples of a frame.
        """
        raise NotImplementedError

    def windowed(self, waveform: np.ndarray, first: int, out: np.ndarray) -> None:
        """Write the windowed frames from frame `first` into `out` (T, n_fft); unused columns become zero."""
        raise NotImplementedError

    def energies(self, waveform: np.ndarray) -> np.ndarray:
        """Return the energy of each frame in each filter (T, M), or at each frequency (T, n_fft // 2 + 1), float32."""
        feats = np.empty((self.num_frames(len(waveform)), self._num_energies), np.float32)
        for first in range(0, len(feats), BLOCK_FRAMES):
            block = feats[first : first + BLOCK_FRAMES]
            frames = self._scratch.frames[: len(block)]
            self.windowed(waveform, first, frames)
            parts = self._rfft(frames).view(self.dtype)  # alternating real and imaginary parts
            parts *= parts
            power = block if self._filters is None else self._scratch.power[: len(block)]
            np.add(parts[:, ::2], parts[:, 1::2], out=power, casting="same_kind")
            if self.takes_magnitudes:
                np.sqrt(power, out=power)
            for frequencies, mels, weights in self._filters or ():
                np.matmul(power[:, frequencies], weights, out=block[:, mels])
        return feats


def _rfft(dtype: np.dtype) -> Callable[[np.ndarray], np.ndarray]:
    """Return a real Fourier transform along the last axis that keeps the precision `dtype`."""
    if dtype == np.float64:
        return np.fft.rfft
    from scipy import fft  # imported here: the import takes 0.2 s, a fifth of `mindvox verify`

    return fft.rfft


class _Scratch(threading.local):
    """Per-thread scratch buffers; reallocating them costs a page fault per 4 kB."""

    def __init__(self, n_fft: int, dtype: np.dtype) -> None:
        self.frames = np.zeros((BLOCK_FRAMES, n_fft), dtype)
        self.power = np.empty((BLOCK_FRAMES, n_fft // 2 + 1), np.float32)


def overlapping(samples: np.ndarray, count: int, size: int, hop: int) -> np.ndarray:
    """Return a read-only view (count, size) of samples ((count - 1) * hop + size,) as frames at distance `hop`."""
    step = samples.itemsize
    return np.lib.stride_tricks.as_strided(  # sliding_window_view takes three times as long
        samples, (count, size), (hop * step, step), writeable=False
    )


def sizes_problems(options: Any, win_length: int, hop_length: int, n_fft: int) -> list[str]:
    """Return one line for each conflict between sizes."""
    found = []
    if hop_length < 1:
        found.append(f"hop_length_ms: expected at least one sample, got {options.hop_length_ms:g} ms.")
    if not 1 <= win_length <= n_fft:
        found.append(
            f"win_length_ms: expected 1 to {n_fft} samples (n_fft), got {options.win_length_ms:g} ms, "
            f"{win_length} samples."
        )
    return found


def transform_problems(options: Any) -> list[str]:
    """Return one line for each conflict between rounded sizes, where `n_fft` is a key."""
    found = [f"n_fft: expected an even number, got {options.n_fft}."] if options.n_fft % 2 else []
    win_length = rounded_samples(options.win_length_ms, options.sample_rate)
    hop_length = rounded_samples(options.hop_length_ms, options.sample_rate)
    return found + sizes_problems(options, win_length, hop_length, options.n_fft)


def frequencies_problems(options: Any) -> list[str]:
    """Return one line for each conflict between frequencies."""
    if options.f_min < options.f_max <= options.sample_rate / 2:
        return []
    return [
        f"f_max: expected more than f_min {options.f_min:g} Hz and at most half of sample_rate, "
        f"{options.sample_rate / 2:g} Hz, got {options.f_max:g} Hz."
    ]


def rounded_samples(duration_ms: float, sample_rate: int) -> int:
    """Return a duration in samples, rounded to the nearest."""
    return round(sample_rate * duration_ms / 1000)


def padded_window(name: str, length: int, n_fft: int) -> np.ndarray:
    """Return a periodic "hann" or "hamming" window (n_fft,), padded with zeros on both sides if shorter."""
    cosine = np.cos(2 * np.pi * np.arange(length) / length)
    window = 0.54 - 0.46 * cosine if name == "hamming" else 0.5 - 0.5 * cosine
    left = (n_fft - length) // 2
    return np.pad(window, (left, n_fft - length - left))


def htk_mel(frequency: Any) -> Any:
    """Convert a frequency in Hz to HTK's mel scale."""
    return 2595 * np.log10(1 + frequency / 700)


def htk_hz(mel: Any) -> Any:
    """Convert HTK's mel scale to a frequency in Hz."""
    return 700 * (10 ** (mel / 2595) - 1)


def dft_matrix(num_frequencies: int, num_samples: int, n_fft: int) -> np.ndarray:
    """Return a real Fourier transform of `n_fft` points, `num_samples` of them non-zero, as a matrix.

    Returns:
        (2 * num_frequencies, num_samples), float64: the cosines, then the sines, whose sign does not change the power.
    """
    # Whole turns are removed in integer arithmetic, because cos loses digits for large arguments.
    turns = np.outer(np.arange(num_frequencies), np.arange(num_samples)) % n_fft
    angles = 2 * np.pi * turns / n_fft
    return np.concatenate((np.cos(angles), np.sin(angles)))


def _grouped(filters: np.ndarray) -> list[tuple[slice, slice, np.ndarray]]:
    """Split (frequencies, F) into groups of neighbouring filters: their frequencies, their columns, and their weights.

    Neighbouring filters share few frequencies, so that few of the weights are zero.
    """
    num_frequencies, num_mels = filters.shape
    seen = filters != 0
    # The first frequency of each filter, and the one after its last; a filter without weights widens no group.
    low = np.where(seen.any(axis=0), seen.argmax(axis=0), num_frequencies)
    high = np.where(seen.any(axis=0), num_frequencies - seen[::-1].argmax(axis=0), 0)
    groups, first = [], 0
    for stop in range(1, num_mels + 1):
        wider = slice(first, stop + 1)
        num_products = BLOCK_FRAMES * (high[wider].max() - low[wider].min()) * (stop + 1 - first)
        if stop < num_mels and num_products <= MOST_PRODUCTS:
            continue
        mels = slice(first, stop)
        frequencies = slice(low[mels].min(), high[mels].max())
        groups.append((frequencies, mels, np.ascontiguousarray(filters[frequencies, mels])))
        first = stop
    return groups
