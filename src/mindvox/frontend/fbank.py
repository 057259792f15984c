"""Log mel filterbank energies with the numbers of SpeechBrain's `Fbank`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from mindvox.config.option import option
from mindvox.frontend.filterbank import (
    Filterbank,
    dft_matrix,
    frequencies_problems,
    htk_hz,
    htk_mel,
    overlapping,
    padded_window,
    transform_problems,
)

if TYPE_CHECKING:
    from mindspore import nn


class Fbank(Filterbank):
    """Turn a waveform into log mel filterbank energies in dB, before mean subtraction.

    The first frame is centred on the first sample, with zeros outside the waveform; the window is a periodic Hamming
    window. The filters are SpeechBrain's: triangles of height 1 around equally spaced mel frequencies; both sides are
    as wide as the distance to the centre of the filter below. The floor is `top_db` below the greatest value of the
    given waveform; features that are cut afterwards keep this floor.

    Double precision is the default. Single precision, which SpeechBrain uses, is up to 5e-3 dB off in bins far below a
    frame's strongest bin.

    Args:
        dtype: type of the transform; float32 is as exact as SpeechBrain and a third faster, for crops that are used
            once.
        settings: see `Options`.
    """

    @dataclass
    class Options:
        """Keys of the section `front_end`."""

        sample_rate: int = option(16000, "sample rate of the waveforms, Hz", minimum=1)
        n_mels: int = option(80, "number of mel bins, the size of a feature frame", minimum=1)
        n_fft: int = option(400, "number of points of the Fourier transform, even", minimum=2)
        win_length_ms: float = option(25.0, "length of the window, ms", above=0)
        hop_length_ms: float = option(10.0, "distance between two frames, ms", above=0)
        f_min: float = option(0.0, "lowest frequency of the filters, Hz", minimum=0)
        f_max: float = option(8000.0, "highest frequency of the filters, Hz", above=0)
        amin: float = option(1e-10, "floor of the filters' power", above=0)
        top_db: float = option(80.0, "dynamic range below the greatest value, dB; lower values are raised", above=0)

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            return transform_problems(self) + frequencies_problems(self)

    name = "fbank"
    size_option = "n_mels"
    normalisation = "mean"

    def __init__(self, dtype: type = np.float64, **settings: Any) -> None:
        super().__init__(dtype, **settings)
        self._window: np.ndarray = self._padded_window().astype(self.dtype)

    def num_frames(self, num_samples: int) -> int:
        return 1 + num_samples // self.hop_length

    def num_samples(self, num_frames: int) -> int:
        return max(1, (num_frames - 1) * self.hop_length)

    def __call__(self, waveform: np.ndarray, rng: Optional[np.random.Generator] = None) -> np.ndarray:
        feats = self.energies(self.check_waveform(waveform))
        with np.errstate(divide="ignore"):  # silence gives -inf, which the floor replaces
            np.log(feats, out=feats)  # several times faster than log10
        feats *= np.float32(10 / np.log(10))
        floor = max(10 * np.log10(self.options.amin), feats.max() - self.options.top_db)
        return np.maximum(feats, floor, out=feats)

    def windowed(self, waveform: np.ndarray, first: int, out: np.ndarray) -> None:
        count, n_fft, hop = len(out), self.n_fft, self.hop_length
        start = first * hop - n_fft // 2
        num_samples = (count - 1) * hop + n_fft
        inside = waveform[max(0, start) : start + num_samples]
        dtype = self.dtype if waveform.dtype > self.dtype else waveform.dtype
        padded = np.zeros(num_samples, dtype)
        padded[max(0, -start) :][: len(inside)] = inside
        np.multiply(overlapping(padded, count, n_fft, hop), self._window, out=out)

    def filters(self) -> np.ndarray:
        options = self.options
        edges = htk_hz(np.linspace(htk_mel(options.f_min), htk_mel(options.f_max), options.n_mels + 2))
        centre, width = edges[1:-1], np.diff(edges)[:-1]
        frequency = np.arange(self.n_fft // 2 + 1)[:, None] * self.sample_rate / self.n_fft
        return np.maximum(0, 1 - np.abs(frequency - centre) / width)

    def analysis(self) -> np.ndarray:
        return dft_matrix(self.n_fft // 2 + 1, self.n_fft, self.n_fft) * self._padded_window()

    def cell(self, form: str = "product") -> "nn.Cell":
        from mindvox.frontend.fbank_cell import FbankCell  # imports MindSpore

        return FbankCell(self, form)

    def _padded_window(self) -> np.ndarray:
        """Return the window (n_fft,)."""
        return padded_window("hamming", self.win_length, self.n_fft)
