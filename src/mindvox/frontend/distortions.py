"""Distortions of waveforms and features: pure functions of an array and drawn parameters.

Where SpeechBrain (1.1.2, `speechbrain.augment`) has the same distortion, the numbers are its own. Waveforms are (N,)
float32 and keep their length, except in `change_speed`.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, gcd

import numpy as np
import scipy.fft

TINY = 1e-14  # added to amplitudes that divide, as SpeechBrain does
NOTCH_TAPS = 101
FILTER_BLOCK = 64  # outputs of the filter that one row of its matrix product gives
SINC_ZEROS = 6  # zero crossings of the resampling filter on either side
ROLLOFF = 0.99  # of its pass band


def add_noise(waveform: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Mix in a noise of the same length; both are scaled, so that the level stays about the same (`AddNoise`).

    Args:
        snr_db: ratio of the root mean squares of speech and noise in the mixture, dB.
    """
    share = np.float32(1 / (10 ** (snr_db / 20) + 1))
    gain = np.float32(share * _rms(waveform) / (_rms(noise) + TINY))
    return (1 - share) * waveform + gain * noise


def _rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.dot(waveform, waveform) / len(waveform)))


def room_spectrum(response: np.ndarray, num_samples: int) -> np.ndarray:
    """Return the spectrum of a room response with its strongest sample at time 0, for `reverberate`.

    Args:
        response: (M,); what is longer than `num_samples` is cut.
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
    """Put speech into a room and keep its mean absolute amplitude (`AddReverb`).

    The convolution is circular, as SpeechBrain's: the echo of the end falls on the start. A piece cut out of speech has
    the echo of what went before there too, and the transform needs no padding.

    Args:
        spectrum: of the room, from `room_spectrum` for this length.
    """
    wet = scipy.fft.irfft(scipy.fft.rfft(waveform) * spectrum, len(waveform))
    return wet * np.float32(np.abs(waveform).mean() / (np.abs(wet).mean() + TINY))


def change_speed(waveform: np.ndarray, percent: int) -> np.ndarray:
    """Play speech at another speed, which changes its pitch too (`SpeedPerturb`).

    Args:
        percent: of the original speed; 95 makes it longer.

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
    """Return how many samples, 1 or more, `change_speed` needs to give `num_samples`, 1 or more."""
    return (num_samples - 1) * percent // 100 + 1


@lru_cache
def _resampling_kernel(percent: int) -> tuple[int, np.ndarray]:
    """Return the samples p between two frames of input, and the taps (K, q) of the q outputs that each frame gives.

    A sinc under a Hann window, cut off at 0.99 of the lower of the two Nyquist frequencies, as in
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
        frequencies: where, as a share of half the sampling rate, in (0, 1].
        width: of a band, in the same unit.
    """
    if not len(frequencies):
        return waveform
    taps = np.zeros(NOTCH_TAPS)
    taps[NOTCH_TAPS // 2] = 1
    for frequency in frequencies:
        taps = np.correlate(taps, _notch_taps(frequency, width), "same")
    return _filter(waveform, taps.astype(np.float32))


def _notch_taps(frequency: float, width: float) -> np.ndarray:
    """Return SpeechBrain's `notch_filter` of NOTCH_TAPS: its factor 3 where pi would be, its periodic window."""
    times = np.arange(NOTCH_TAPS) - NOTCH_TAPS // 2
    turn = 2 * np.pi * np.arange(NOTCH_TAPS) / NOTCH_TAPS
    window = 0.42 - 0.5 * np.cos(turn) + 0.08 * np.cos(2 * turn)
    low = np.sinc(3 * frequency * times / np.pi) * window
    high = np.sinc(3 * (frequency + 2 * width) * times / np.pi) * window
    taps = low / low.sum() - high / high.sum()
    taps[NOTCH_TAPS // 2] += 1
    return taps


def _filter(waveform: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Correlate with an odd number of taps, centred, zeros outside: blocks of outputs by one matrix product."""
    reach, block = len(taps) - 1, FILTER_BLOCK
    num_blocks = ceil(len(waveform) / block)
    padded = np.pad(waveform, (reach // 2, reach // 2 + num_blocks * block - len(waveform)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, block + reach)[::block]
    # matrix[r, j] = taps[r - j]: output j of a block sees its samples j to j + reach
    spread = np.lib.stride_tricks.sliding_window_view(np.pad(taps, block - 1), block)
    matrix = np.ascontiguousarray(spread[:, ::-1])  # NumPy gives reversed ones to a slow product
    return (np.ascontiguousarray(frames) @ matrix).ravel()[: len(waveform)]


def drop_chunks(waveform: np.ndarray, starts: Sequence[int], lengths: Sequence[int]) -> np.ndarray:
    """Silence stretches of samples (`DropChunk` without noise)."""
    dropped = waveform.copy()
    for start, length in zip(starts, lengths, strict=True):
        dropped[start : start + length] = 0
    return dropped


def set_peak(waveform: np.ndarray, peak: float) -> np.ndarray:
    """Give the largest sample the magnitude `peak` (`RandAmp`); silence stays silence."""
    return waveform * np.float32(peak / max(float(np.abs(waveform).max()), TINY))


def clip_peaks(waveform: np.ndarray, share: float) -> np.ndarray:
    """Overdrive: cut at `share` of the largest magnitude, then scale back to it (`DoClip`)."""
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
