"""What filterbanks share: blocks of frames in bounded memory, one Fourier transform a block, filters in groups."""

import threading
from typing import Any

import numpy as np
import scipy.fft

from mindvox.frontend.front_end import FrontEnd

BLOCK_FRAMES = 320  # transformed at once: a crop of 3 s in one go, a long file in bounded memory
GROUP_MELS = 20  # filters in one matrix product: neighbours see few of the frequencies


class Filterbank(FrontEnd):
    """A front end that takes the energy of each frame in mel filters; see `FrontEnd`.

    In double precision the transform alone is double; what follows only adds and takes logarithms of what is positive,
    and is single.

    Args:
        dtype, settings: see `FrontEnd`.
    """

    def __init__(self, dtype: type = np.float64, **settings: Any) -> None:
        super().__init__(dtype, **settings)
        self._filters = _grouped(self.filters().astype(np.float32))
        self._scratch = _Scratch(self.n_fft, self.dtype)

    @property
    def n_fft(self) -> int:
        """Points of the Fourier transform, even."""
        raise NotImplementedError

    @property
    def win_length(self) -> int:
        """Length of a frame, samples."""
        raise NotImplementedError

    @property
    def hop_length(self) -> int:
        """Distance between two frames, samples."""
        raise NotImplementedError

    @property
    def frame_shift_s(self) -> float:
        return self.hop_length / self.sample_rate

    def filters(self) -> np.ndarray:
        """Return the weight of each frequency in each filter, (n_fft // 2 + 1, F)."""
        raise NotImplementedError

    def analysis(self) -> np.ndarray:
        """Return what `windowed` and the transform do to a frame, as one matrix (2 * K, W), float64.

        The rows are the cosines of K frequencies, then their sines; W are the samples that a frame is made of.
        """
        raise NotImplementedError

    def windowed(self, waveform: np.ndarray, first: int, out: np.ndarray) -> None:
        """Set `out` (T, n_fft) to the windowed frames from frame `first` on; columns that no frame reaches are zero."""
        raise NotImplementedError

    def energies(self, waveform: np.ndarray) -> np.ndarray:
        """Return the energy of each frame in each filter, (T, F), float32."""
        feats = np.empty((self.num_frames(len(waveform)), self.size), np.float32)
        for first in range(0, len(feats), BLOCK_FRAMES):
            block = feats[first : first + BLOCK_FRAMES]
            frames = self._scratch.frames[: len(block)]
            self.windowed(waveform, first, frames)
            parts = scipy.fft.rfft(frames, axis=1).view(self.dtype)  # real and imaginary in turn
            parts *= parts
            power = self._scratch.power[: len(block)]
            np.add(parts[:, ::2], parts[:, 1::2], out=power, casting="same_kind")
            for frequencies, mels, weights in self._filters:
                np.matmul(power[:, frequencies], weights, out=block[:, mels])
        return feats

    def check_waveform(self, waveform: np.ndarray) -> np.ndarray:
        """Return the waveform as an array.

        Raises:
            ValueError: it is too short, not one-dimensional or not of a floating type.
        """
        waveform = np.asarray(waveform)
        least = self.num_samples(1)
        if waveform.ndim != 1 or len(waveform) < least or waveform.dtype.kind != "f":
            raise ValueError(f"expected floating samples (N,), N >= {least}, got {waveform.dtype} {waveform.shape}.")
        return waveform

    @staticmethod
    def sizes_problems(options: Any, win_length: int, hop_length: int, n_fft: int) -> list[str]:
        """Return what is wrong between sizes and frequencies, one line each."""
        found = []
        if hop_length < 1:
            found.append(f"hop_length_ms: expected at least one sample, got {options.hop_length_ms:g} ms.")
        if not 1 <= win_length <= n_fft:
            found.append(
                f"win_length_ms: expected 1 to {n_fft} samples (n_fft), got {options.win_length_ms:g} ms, "
                f"{win_length} samples."
            )
        if not options.f_min < options.f_max <= options.sample_rate / 2:
            found.append(
                f"f_max: expected more than f_min {options.f_min:g} Hz and at most half of sample_rate, "
                f"{options.sample_rate / 2:g} Hz, got {options.f_max:g} Hz."
            )
        return found


class _Scratch(threading.local):
    """Per-thread scratch buffers; reallocating them costs a page fault per 4 kB."""

    def __init__(self, n_fft: int, dtype: np.dtype) -> None:
        self.frames = np.zeros((BLOCK_FRAMES, n_fft), dtype)
        self.power = np.empty((BLOCK_FRAMES, n_fft // 2 + 1), np.float32)


def overlapping(samples: np.ndarray, count: int, size: int, hop: int) -> np.ndarray:
    """Return a read-only view (count, size) of samples ((count - 1) * hop + size,) as frames, `hop` samples apart."""
    step = samples.itemsize
    return np.lib.stride_tricks.as_strided(  # sliding_window_view takes three times as long
        samples, (count, size), (hop * step, step), writeable=False
    )


def dft_matrix(num_frequencies: int, num_samples: int, n_fft: int) -> np.ndarray:
    """Return the first frequencies of a real Fourier transform of `n_fft` points, of which `num_samples` are not zero.

    Returns:
        (2 * num_frequencies, num_samples), float64: the cosines, then the sines, whose sign does not change the power.
    """
    # Whole turns are removed as integers: cos loses digits for large arguments.
    turns = np.outer(np.arange(num_frequencies), np.arange(num_samples)) % n_fft
    angles = 2 * np.pi * turns / n_fft
    return np.concatenate((np.cos(angles), np.sin(angles)))


def _grouped(filters: np.ndarray) -> list[tuple[slice, slice, np.ndarray]]:
    """Split (frequencies, F) into groups of filters: the frequencies they see, which they are, their weights."""
    groups = []
    for first in range(0, filters.shape[1], GROUP_MELS):
        mels = slice(first, first + GROUP_MELS)
        seen = np.flatnonzero(filters[:, mels].any(axis=1))
        frequencies = slice(seen[0], seen[-1] + 1) if len(seen) else slice(0, 1)
        groups.append((frequencies, mels, np.ascontiguousarray(filters[frequencies, mels])))
    return groups
