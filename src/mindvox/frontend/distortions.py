"""Distortions of waveforms and features: pure functions of an array and drawn parameters.

Distortions that SpeechBrain (1.1.2, `speechbrain.augment`) also has give the same numbers. Waveforms are (N,),
float32, and keep their length, except in `change_speed`.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, gcd

import numpy as np
import scipy.fft

TINY = 1e-14  # added to amplitudes in denominators, as in SpeechBrain
NOTCH_TAPS = 101
FILTER_BLOCK = 64  # filter outputs per row of the matrix product
SINC_ZEROS = 6  # zero crossings of the resampling filter on either side
ROLLOFF = 0.99  # pass band of the resampling filter


def add_noise(waveform: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Mix in a noise of the same length; both are scaled so that the level stays about the same (`AddNoise`).

    Args:
        snr_db: ratio of the root mean squares of speech and noise in the mixture, dB.
    """
    share = np.float32(1 / (10 ** (snr_db / 20) + 1))
    gain = np.float32(share * _rms(waveform) / (_rms(noise) + TINY))
    return (1 - share) * waveform + gain * noise


def _rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.dot(waveform, waveform) / len(waveform)))


def room_spectrum(response: np.ndarray, num_samples: int) -> np.ndarray:
    """Return the spectrum of a room response, shifted so that its strongest sample is at time 0, for `reverberate`.

    Args:
        response: (M,); samples beyond `num_samples` are cut off.
        num_samples: length N of the waveforms.

    Returns:
        (N // 2 + 1,), complex64.
    """
    direct = int(np.argmax(np.abs(response)))
    response = response[:num_samples]
    aligned = np.zeros(num_samples, np.float32)
    aligned[: len(response) - direct] = response[direct:]
    if direct:
        aligned[-direct:] = response[:direct]
    return scipy.fft.rfft(aligned)


def reverberate(waveform: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    """Apply a room response and keep the mean absolute amplitude (`AddReverb`).

    The convolution is circular, as in SpeechBrain: the echo of the end falls on the start. A piece of real speech
    also starts with an echo of the speech before it, and the transform needs no padding.

    Args:
        spectrum: result of `room_spectrum` for this length.
    """
    wet = scipy.fft.irfft(scipy.fft.rfft(waveform) * spectrum, len(waveform))
    return wet * np.float32(np.abs(waveform).mean() / (np.abs(wet).mean() + TINY))


def change_speed(waveform: np.ndarray, percent: int) -> np.ndarray:
    """Change the speed of speech, and with it the pitch (`SpeedPerturb`).

    Args:
        percent: percentage of the original speed; 95 lengthens.

    Returns:
        (ceil(100 N / percent),).
    """
    if percent == 100:
        return waveform
    step, kernel = _resampling_kernel(percent)
    num_taps, num_phases = kernel.shape
    left = (num_taps - step) // 2
    padded = np.pad(waveform, (left, left + step))
    frames = np.lib.stride_tricks.sliding_window_view(padded, num_taps)[::step]
    return (np.ascontiguousarray(frames) @ kernel).ravel()[: ceil(num_phases * len(waveform) / step)]


def speed_source_length(num_samples: int, percent: int) -> int:
    """Return how many samples (at least 1) `change_speed` needs to return `num_samples` (at least 1)."""
    return (num_samples - 1) * percent // 100 + 1


@lru_cache
def _resampling_kernel(percent: int) -> tuple[int, np.ndarray]:
    """Return the samples p between two frames of input, and the taps (K, q) of the q outputs of each frame.

    The taps are a sinc under a Hann window, cut off at 0.99 of the lower of the two Nyquist frequencies, as in
    `torchaudio.functional.resample`.
    """
    divisor = gcd(percent, 100)
    step, num_phases = percent // divisor, 100 // divisor
    cutoff = ROLLOFF * min(step, num_phases)
    width = ceil(SINC_ZEROS * step / cutoff)
    tap = np.arange(-width, width + step)[:, None] / step
    time = np.clip((tap - np.arange(num_phases) / num_phases) * cutoff, -SINC_ZEROS, SINC_ZEROS)
    window = np.cos(np.pi * time / SINC_ZEROS / 2) ** 2
    return step, (np.sinc(time) * window * cutoff / step).astype(np.float32)


def drop_frequencies(waveform: np.ndarray, frequencies: Sequence[float], width: float = 0.05) -> np.ndarray:
    """Remove narrow bands (`DropFreq`).

    Args:
        frequencies: centres of the bands, as a share of half the sampling rate, in (0, 1].
        width: width of a band, in the same unit.
    """
    if not len(frequencies):
        return waveform
    taps = np.zeros(NOTCH_TAPS)
    taps[NOTCH_TAPS // 2] = 1
    for frequency in frequencies:
        taps = np.correlate(taps, _notch_taps(frequency, width), "same")
    return _filter(waveform, taps.astype(np.float32))


def _notch_taps(frequency: float, width: float) -> np.ndarray:
    """Return the taps of SpeechBrain's `notch_filter`, which has a factor 3 instead of pi, and a periodic window."""
    times = np.arange(NOTCH_TAPS) - NOTCH_TAPS // 2
    turn = 2 * np.pi * np.arange(NOTCH_TAPS) / NOTCH_TAPS
    window = 0.42 - 0.5 * np.cos(turn) + 0.08 * np.cos(2 * turn)
    low = np.sinc(3 * frequency * times / np.pi) * window
    high = np.sinc(3 * (frequency + 2 * width) * times / np.pi) * window
    taps = low / low.sum() - high / high.sum()
    taps[NOTCH_TAPS // 2] += 1
    return taps


def _filter(waveform: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Correlate with an odd number of centred taps, zeros outside; a matrix product gives blocks of outputs."""
    reach, block = len(taps) - 1, FILTER_BLOCK
    num_blocks = ceil(len(waveform) / block)
    padded = np.pad(waveform, (reach // 2, reach // 2 + num_blocks * block - len(waveform)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, block + reach)[::block]
    # matrix[r, j] = taps[r - j]: output j of a block depends on its samples j to j + reach
    spread = np.lib.stride_tricks.sliding_window_view(np.pad(taps, block - 1), block)
    matrix = np.ascontiguousarray(spread[:, ::-1])  # NumPy multiplies reversed views slowly
    return (np.ascontiguousarray(frames) @ matrix).ravel()[: len(waveform)]


def drop_chunks(waveform: np.ndarray, starts: Sequence[int], lengths: Sequence[int]) -> np.ndarray:
    """Silence stretches of samples (`DropChunk` without noise)."""
    dropped = waveform.copy()
    for start, length in zip(starts, lengths, strict=True):
        dropped[start : start + length] = 0
    return dropped


def set_peak(waveform: np.ndarray, peak: float) -> np.ndarray:
    """Scale the largest magnitude to `peak` (`RandAmp`); silence stays silence."""
    return waveform * np.float32(peak / max(float(np.abs(waveform).max()), TINY))


def clip_peaks(waveform: np.ndarray, share: float) -> np.ndarray:
    """Clip at `share` of the largest magnitude, then scale back to it (`DoClip`)."""
    limit = np.float32(share * np.abs(waveform).max())
    return np.clip(waveform, -limit, limit) / np.float32(share)


def mask_features(
    feats: np.ndarray, times: Sequence[tuple[int, int]] = (), bins: Sequence[tuple[int, int]] = ()
) -> np.ndarray:
    """Set frames and bins of mean-subtracted features to 0, their mean (`SpectrogramDrop`; SpecAugment).

    Park et al. 2019, arXiv 1904.08779, without time warping.

    Args:
        feats: (T, F), mean-subtracted.
        times: (first frame, number of frames) of each mask.
        bins: (first bin, number of bins) of each mask.
    """
    masked = feats.copy()
    for start, length in times:
        masked[start : start + length] = 0
    for start, length in bins:
        masked[:, start : start + length] = 0
    return masked
