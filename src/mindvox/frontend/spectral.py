"""Spectra as in torchaudio and librosa, shared by spectrogram, mel_spectrogram and mfcc."""

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
from mindvox.frontend.frames import NORMALISATIONS

if TYPE_CHECKING:
    from mindspore import nn

WINDOWS = ("hann", "hamming")
PADDINGS = ("reflect", "zero")
POWERS = (1.0, 2.0)
SCALES = (1.0, 32768.0)
LOGS = ("none", "natural", "db")
MEL_SCALES = ("htk", "slaney")
MEL_NORMS = ("none", "slaney")
SLANEY_STEP = 200 / 3  # Hz per mel, up to SLANEY_EDGE
SLANEY_EDGE = 1000.0  # Hz; mel is logarithmic above
SLANEY_LOG_STEP = np.log(6.4) / 27


@dataclass
class SpectralOptions:
    """Options that spectrogram, mel_spectrogram and mfcc share."""

    sample_rate: int = option(16000, "sample rate of the waveforms, Hz", minimum=1)
    n_fft: int = option(400, "number of points of the Fourier transform, even", minimum=2)
    win_length_ms: float = option(25.0, "length of the window, ms; centred in n_fft points", above=0)
    hop_length_ms: float = option(12.5, "distance between two frames, ms", above=0)
    window: str = option("hann", "window function of a frame, periodic", choices=WINDOWS)
    padding: str = option("reflect", "padding at the edges: mirrored samples, or zeros", choices=PADDINGS)
    power: float = option(2.0, "exponent of the spectrum: 1 for magnitudes, 2 for powers", choices=POWERS)
    preemphasis: float = option(
        0.0,
        "pre-emphasis: the share of the previous sample that is subtracted; the first sample takes the second as "
        "previous",
        minimum=0,
        below=1,
    )
    waveform_scale: float = option(1.0, "full scale of the samples: 1, or 32768 as in 16-bit files", choices=SCALES)
    floor: float = option(0.0, "floor of values before the logarithm", minimum=0)
    offset: float = option(0.0, "offset added to each value before the logarithm", minimum=0)
    log: str = option(
        "none", "kind of logarithm of the values; db: 10 log10 of powers, 20 log10 of magnitudes", choices=LOGS
    )
    top_db: float = option(0.0, "dynamic range below the greatest value of an utterance, dB; 0: no limit", minimum=0)
    feature_scale: float = option(1.0, "factor on the features after the logarithm", above=0)
    feature_shift: float = option(0.0, "offset added to the features after feature_scale")
    normalisation: str = option(
        "mean",
        "normalisation of each bin over the frames of a crop; mean: subtract the mean; instance: also divide by the "
        "standard deviation",
        choices=NORMALISATIONS,
    )

    def problems(self) -> list[str]:
        """Return one line for each conflict between keys."""
        found = transform_problems(self)
        if self.log != "none" and self.floor == self.offset == 0:
            found.append(f"log: {self.log} of 0 is infinite: expected `floor` or `offset` above 0.")
        if self.top_db > 0 and self.log != "db":
            found.append(f"top_db: expected log db, got log {self.log}.")
        return found


@dataclass
class MelOptions(SpectralOptions):
    """Options that mel_spectrogram and mfcc share."""

    n_mels: int = option(128, "number of mel bins", minimum=1)
    f_min: float = option(0.0, "lowest frequency of the filters, Hz", minimum=0)
    f_max: float = option(8000.0, "highest frequency of the filters, Hz", above=0)
    mel_scale: str = option("htk", "mel scale; slaney: linear up to 1000 Hz, then logarithmic", choices=MEL_SCALES)
    mel_norm: str = option(
        "none", "normalisation of the filters; slaney: divide each by half of its width in Hz", choices=MEL_NORMS
    )

    def problems(self) -> list[str]:
        """Return one line for each conflict between keys."""
        return frequencies_problems(self)


class Spectral(Filterbank):
    """A front end whose frames are centred on multiples of the hop, the first on the first sample.

    The steps in order: pre-emphasis of the waveform; n_fft / 2 mirrored or zero samples on both sides; window; power or
    magnitude of the Fourier transform; filters, if any; floor; offset; logarithm; dynamic range in dB; `transformed`;
    factor and offset.

    Args:
        dtype: type of the transform; float32 is as exact as torchaudio, for crops that are used once.
        settings: see `Options`.
    """

    def __init__(self, dtype: type = np.float64, **settings: Any) -> None:
        super().__init__(dtype, **settings)
        self.normalisation = self.options.normalisation
        self.takes_magnitudes = self.options.power == 1
        self._window: np.ndarray = self._scaled_window().astype(self.dtype)

    @property
    def log_factor(self) -> float:
        """Factor from the natural logarithm to the configured one."""
        return 20 / self.options.power / np.log(10) if self.options.log == "db" else 1.0

    def filters(self) -> Optional[np.ndarray]:
        return None

    def num_frames(self, num_samples: int) -> int:
        return 1 + num_samples // self.hop_length if num_samples >= self._least_samples else 0

    def num_samples(self, num_frames: int) -> int:
        return max(self._least_samples, (num_frames - 1) * self.hop_length)

    def __call__(self, waveform: np.ndarray, rng: Optional[np.random.Generator] = None) -> np.ndarray:
        options = self.options
        feats = self.energies(self.check_waveform(waveform))
        if options.floor > 0:
            np.maximum(feats, np.float32(options.floor), out=feats)
        if options.offset > 0:
            feats += np.float32(options.offset)
        if options.log != "none":
            np.log(feats, out=feats)  # several times faster than log10
        if self.log_factor != 1:
            feats *= np.float32(self.log_factor)
        if options.top_db > 0:
            np.maximum(feats, feats.max() - np.float32(options.top_db), out=feats)
        feats = self.transformed(feats)
        if options.feature_scale != 1:
            feats *= np.float32(options.feature_scale)
        if options.feature_shift != 0:
            feats += np.float32(options.feature_shift)
        return feats

    def transformed(self, feats: np.ndarray) -> np.ndarray:
        """Transform the values (T, M) after the logarithm to features (T, F)."""
        return feats

    def windowed(self, waveform: np.ndarray, first: int, out: np.ndarray) -> None:
        count, n_fft, hop = len(out), self.n_fft, self.hop_length
        start = first * hop - n_fft // 2
        samples = self._padded(waveform, start, start + (count - 1) * hop + n_fft)
        np.multiply(overlapping(samples, count, n_fft, hop), self._window, out=out)

    def analysis(self) -> np.ndarray:
        return dft_matrix(self.n_fft // 2 + 1, self.n_fft, self.n_fft) * self._scaled_window()

    def cell(self, form: str = "product") -> "nn.Cell":
        from mindvox.frontend.spectral_cell import SpectralCell  # imports MindSpore

        return SpectralCell(self, form)

    @property
    def _least_samples(self) -> int:
        """Fewest samples of a waveform: one more than the number that is mirrored."""
        if self.options.padding == "reflect":
            return self.n_fft // 2 + 1
        return 2 if self.options.preemphasis > 0 else 1

    def _padded(self, waveform: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Return the pre-emphasised samples from `start` to `stop`, which may lie outside of the waveform."""
        num_samples, mirrors = len(waveform), self.options.padding == "reflect"
        before, behind = max(0, -start), max(0, stop - num_samples)
        first, last = max(0, start), min(num_samples, stop)
        # The mirrored samples must be available: samples 1 to `before`, and as many before the last one.
        low = min(first, num_samples - 1 - behind) if mirrors and behind else first
        high = max(last, before + 1) if mirrors and before else last
        inside = self._emphasised(waveform, low, high)
        padded = np.zeros(stop - start, inside.dtype)
        padded[before : before + last - first] = inside[first - low : last - low]
        if mirrors and before:
            padded[:before] = inside[before:0:-1]
        if mirrors and behind:
            padded[-behind:] = inside[num_samples - 1 - behind - low : num_samples - 1 - low][::-1]
        return padded

    def _emphasised(self, waveform: np.ndarray, first: int, last: int) -> np.ndarray:
        """Return the pre-emphasised samples from `first` to `last`."""
        samples, share = waveform[first:last], self.options.preemphasis
        samples = samples.astype(self.dtype if share > 0 else min(self.dtype, waveform.dtype), copy=False)
        if share == 0:
            return samples
        previous = waveform[first - 1 : last - 1] if first > 0 else np.concatenate((waveform[1:2], samples[:-1]))
        return samples - self.dtype.type(share) * previous.astype(self.dtype, copy=False)

    def _scaled_window(self) -> np.ndarray:
        """Return the window (n_fft,) times the scale of the samples."""
        return padded_window(self.options.window, self.win_length, self.n_fft) * self.options.waveform_scale


class MelSpectral(Spectral):
    """A front end with mel filters: triangles, linear in Hz, between points that are equally spaced in mel.

    With many filters and few points of the transform, low filters can fall between two frequencies and be empty, as in
    torchaudio.

    Args:
        dtype, settings: see `Spectral`.
    """

    def filters(self) -> np.ndarray:
        options = self.options
        to_mel, to_hz = (htk_mel, htk_hz) if options.mel_scale == "htk" else (_slaney_mel, _slaney_hz)
        edges = to_hz(np.linspace(to_mel(options.f_min), to_mel(options.f_max), options.n_mels + 2))
        left, centre, right = edges[:-2], edges[1:-1], edges[2:]
        hz = np.arange(self.n_fft // 2 + 1)[:, None] * self.sample_rate / self.n_fft
        weights = np.maximum(0, np.minimum((hz - left) / (centre - left), (right - hz) / (right - centre)))
        return weights * 2 / (right - left) if options.mel_norm == "slaney" else weights


def _slaney_mel(frequency: float) -> float:
    if frequency < SLANEY_EDGE:
        return frequency / SLANEY_STEP
    return SLANEY_EDGE / SLANEY_STEP + np.log(frequency / SLANEY_EDGE) / SLANEY_LOG_STEP


def _slaney_hz(mel: np.ndarray) -> np.ndarray:
    edge = SLANEY_EDGE / SLANEY_STEP
    return np.where(mel < edge, mel * SLANEY_STEP, SLANEY_EDGE * np.exp(SLANEY_LOG_STEP * (mel - edge)))
