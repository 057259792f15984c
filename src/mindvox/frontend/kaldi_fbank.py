"""Log mel filterbank energies with the numbers of Kaldi's `compute-fbank-feats` and torchaudio's `kaldi.fbank`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from mindvox.config.option import option
from mindvox.frontend.filterbank import Filterbank, dft_matrix, frequencies_problems, overlapping, sizes_problems

if TYPE_CHECKING:
    from mindspore import nn

FLOOR = 2.0**-23  # floor of energies, in the scale of the samples
WINDOWS = ("povey", "hamming")
SCALES = (1.0, 32768.0)


class KaldiFbank(Filterbank):
    """Turn a waveform into natural logarithms of mel filterbank energies, before mean subtraction.

    Frames lie wholly inside the waveform; samples after the last frame are not used. The mean of a frame is subtracted;
    then it is pre-emphasised by y[i] = x[i] - p x[i - 1] with y[0] = (1 - p) x[0], windowed, and zero-padded to the
    next power of two. The filters are triangles that are linear in mel, 1127 ln(1 + f / 700); the Nyquist frequency is
    not used. Energies have a floor of 2^-23, which quiet frames reach if `waveform_scale` is 1.

    Dither is added once to the waveform; Kaldi draws it again for each of the overlapping frames.

    Args:
        dtype: type of the transform; float32 is as exact as torchaudio, for crops that are used once.
        settings: see `Options`. The defaults are 3D-Speaker's; wespeaker has the Hamming window and 16-bit samples.
    """

    @dataclass
    class Options:
        """Keys of the section `front_end`."""

        sample_rate: int = option(16000, "sample rate of the waveforms, Hz", minimum=1)
        n_mels: int = option(80, "number of mel bins, the size of a feature frame", minimum=1)
        win_length_ms: float = option(25.0, "length of a frame, ms", above=0)
        hop_length_ms: float = option(10.0, "distance between two frames, ms", above=0)
        f_min: float = option(20.0, "lowest frequency of the filters, Hz", minimum=0)
        f_max: float = option(8000.0, "highest frequency of the filters, Hz", above=0)
        window: str = option("povey", "window function of a frame", choices=WINDOWS)
        waveform_scale: float = option(
            1.0, "full scale of the samples: 1, or 32768 as in 16-bit files (wespeaker)", choices=SCALES
        )
        preemphasis: float = option(
            0.97, "pre-emphasis: the share of the previous sample that is subtracted", minimum=0, below=1
        )
        dither: float = option(
            0.0, "standard deviation of noise added in training, in the scale of waveform_scale; 0: none", minimum=0
        )
        subtract_mean: bool = option(True, "subtract the mean of each bin over the frames of a crop")

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            sizes = (_samples(self.win_length_ms, self.sample_rate), _samples(self.hop_length_ms, self.sample_rate))
            found = sizes_problems(self, *sizes, _power_of_two(sizes[0])) + frequencies_problems(self)
            if sizes[0] < 2:
                found.append(f"win_length_ms: expected at least 2 samples, got {self.win_length_ms:g} ms.")
            return found

    name = "kaldi_fbank"
    size_option = "n_mels"
    training_options = frozenset({"dither"})
    later_options = frozenset({"f_min", "f_max", "preemphasis", "dither", "subtract_mean"})

    def __init__(self, dtype: type = np.float64, **settings: Any) -> None:
        super().__init__(dtype, **settings)
        self.normalisation = "mean" if self.options.subtract_mean else "none"
        self._window: np.ndarray = self._scaled_window().astype(self.dtype)

    @property
    def draws(self) -> bool:
        return self.options.dither > 0

    @property
    def n_fft(self) -> int:
        return _power_of_two(self.win_length)

    @property
    def win_length(self) -> int:
        return _samples(self.options.win_length_ms, self.sample_rate)

    @property
    def hop_length(self) -> int:
        return _samples(self.options.hop_length_ms, self.sample_rate)

    def num_frames(self, num_samples: int) -> int:
        return max(0, 1 + (num_samples - self.win_length) // self.hop_length)

    def num_samples(self, num_frames: int) -> int:
        return self.win_length + (max(1, num_frames) - 1) * self.hop_length

    def __call__(self, waveform: np.ndarray, rng: Optional[np.random.Generator] = None) -> np.ndarray:
        waveform = self.check_waveform(waveform)
        if rng is not None and self.draws:
            deviation = np.float32(self.options.dither / self.options.waveform_scale)
            waveform = waveform + deviation * rng.standard_normal(len(waveform), np.float32)
        feats = self.energies(waveform)
        return np.log(np.maximum(feats, np.float32(FLOOR), out=feats), out=feats)

    def windowed(self, waveform: np.ndarray, first: int, out: np.ndarray) -> None:
        count, length, hop, share = len(out), self.win_length, self.hop_length, self.options.preemphasis
        samples = waveform[first * hop : (first + count - 1) * hop + length].astype(self.dtype)
        starts = np.arange(count) * hop
        sums = np.concatenate(([0.0], np.cumsum(samples, dtype=np.float64)))
        mean = (sums[starts + length] - sums[starts]) / length
        # Pre-emphasis is linear: subtract the pre-emphasised frame mean from the pre-emphasised block.
        emphasised = samples.copy()
        emphasised[1:] -= self.dtype.type(share) * samples[:-1]
        offset = ((1 - share) * mean).astype(self.dtype)[:, None]
        frames = out[:, :length]
        np.subtract(overlapping(emphasised, count, length, hop), offset, out=frames)
        frames[:, 0] = self.dtype.type(1 - share) * samples[starts] - offset[:, 0]  # no previous sample
        frames *= self._window

    def filters(self) -> np.ndarray:
        options = self.options
        edges = np.linspace(_hz_to_mel(options.f_min), _hz_to_mel(options.f_max), options.n_mels + 2)
        left, centre, right = edges[:-2], edges[1:-1], edges[2:]
        mel = _hz_to_mel(np.arange(self.n_fft // 2) * self.sample_rate / self.n_fft)[:, None]
        weights = np.maximum(0, np.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)))
        return np.concatenate((weights, np.zeros((1, options.n_mels))))

    def analysis(self) -> np.ndarray:
        length, share = self.win_length, self.options.preemphasis
        emphasis = np.eye(length) - share * np.eye(length, k=-1)
        emphasis[0, 0] = 1 - share
        centring = np.eye(length) - 1 / length
        transform = dft_matrix(self.n_fft // 2, length, self.n_fft) * self._scaled_window()
        return transform @ emphasis @ centring

    def cell(self, form: str = "product") -> "nn.Cell":
        from mindvox.frontend.kaldi_fbank_cell import KaldiFbankCell  # imports MindSpore

        return KaldiFbankCell(self, form)

    def _scaled_window(self) -> np.ndarray:
        """Return the symmetric window (win_length,) times the scale of the samples."""
        cosine = np.cos(2 * np.pi * np.arange(self.win_length) / (self.win_length - 1))
        window = 0.54 - 0.46 * cosine if self.options.window == "hamming" else (0.5 - 0.5 * cosine) ** 0.85
        return window * self.options.waveform_scale


def _samples(duration_ms: float, sample_rate: int) -> int:
    return int(sample_rate * duration_ms / 1000)  # Kaldi drops the rest


def _power_of_two(length: int) -> int:
    """Return the least power of two that is at least `length`."""
    return 1 << max(1, (length - 1).bit_length())


def _hz_to_mel(frequency: Any) -> Any:
    return 1127 * np.log(1 + frequency / 700)
