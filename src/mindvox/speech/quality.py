"""Measure the quality of a recording, and check whether it is good enough to tell who speaks.

quality = measure(waveform, SpeechDetector.open())
found = problem(quality, Limits())  # None: good enough
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

import numpy as np

from mindvox.speech.detector import SAMPLE_RATE, SpeechDetector, only_speech

NARROW_BAND, WIDE_BAND = BANDS = ("narrow-band", "wide-band")
NO_SPEECH, TOO_SHORT, TOO_NOISY, SEVERAL_SPEAKERS = CODES = ("no_speech", "too_short", "too_noisy", "several_speakers")

FRAME_SAMPLES = 320  # samples per energy: 20 ms
FLOOR_PERCENTILE = 5  # percentile of the frames' energies that is taken as the noise between words
MIN_FRAMES = 25  # fewest frames for a noise floor: half a second
MAX_SNR_DB = 60.0
SPECTRUM_SAMPLES = 1024
MAX_SPECTRA = 2000  # most spectra: a minute, evenly spread
BAND_BINS = 16  # bins per band: 250 Hz
NARROW_HZ = 5000.0  # speech sampled at 8 kHz reaches 4000 Hz, or 4750 Hz with the leakage of filters
FAINT_DB = -55.0  # bands below the strongest one by more are empty: telephone speech has -65 above 4.5 kHz
PLATEAU = 0.999  # share of the peak that counts as clipped, so that clipping shows after a change of level, too
VOICE_WINDOW_S = 3.0  # windows of this length have cosines below 0.32 for two speakers, above 0.5 for one (verify.md)
MAX_VOICE_WINDOWS = 8

Embed = Callable[[np.ndarray], np.ndarray]
"""Takes samples (N,) at 16 kHz and returns an embedding (D,)."""


@dataclass(frozen=True)
class Quality:
    """The measured quality of a recording.

    Attributes:
        duration_s: duration in s.
        net_speech_s: length of its speech in s.
        level_dbfs: root mean square of the speech, or of the whole recording if it has no speech, in dB relative to
            full scale; None: all samples are zero.
        clipped_share: share of samples at the highest or the lowest value, 0 to 1: the peaks of a clipped recording are
            flat.
        snr_db: ratio of speech to the steady noise between words in dB, at most 60. Changing noise, such as babble and
            music, is underestimated. None: there is no speech, or the recording is shorter than half a second.
        bandwidth_hz: highest frequency with speech in Hz, in steps of 250; about 4000 for telephones. None: there is no
            speech.
        voice_agreement: the speech is cut into parts of 3 s, and these are split into the two groups that differ most;
            this is the mean cosine between the groups. It is low if several people speak. None: no `embed` was given,
            or there are fewer than two parts.
    """

    duration_s: float
    net_speech_s: float
    level_dbfs: Optional[float]
    clipped_share: float
    snr_db: Optional[float]
    bandwidth_hz: Optional[float]
    voice_agreement: Optional[float] = None


@dataclass(frozen=True)
class Limits:
    """Limits that a recording must keep to before it is compared.

    Args:
        min_net_speech_s: least length of the speech in s.
        min_snr_db: least ratio of speech to steady noise in dB.
        max_clipped_share: greatest share of clipped samples, 0 to 1.
        min_voice_agreement: least `voice_agreement`, a cosine; below it, several people are suspected.

    Raises:
        ValueError: a limit is out of range.
    """

    min_net_speech_s: float = 1.0
    min_snr_db: float = 0.0
    max_clipped_share: float = 0.1
    min_voice_agreement: float = 0.35

    def __post_init__(self) -> None:
        if not (self.min_net_speech_s >= 0 and 0 <= self.max_clipped_share <= 1):
            raise ValueError(f"expected a length of at least 0 s and a share from 0 to 1, got {self}.")
        if not (-1 <= self.min_voice_agreement <= 1 and np.isfinite(self.min_snr_db)):
            raise ValueError(f"expected a cosine from -1 to 1 and a finite ratio, got {self}.")


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Problem:
    """Why a recording is not compared.

    Attributes:
        code: one of CODES.
        text: the same reason in words, with the measured and the required value.
    """

    code: str
    text: str


def measure(waveform: np.ndarray, detector: SpeechDetector, embed: Optional[Embed] = None) -> Quality:
    """Measure a recording.

    Args:
        waveform: mono, 16 kHz, full scale 1, (N,), floating, N >= 1.
        detector: finds the speech.
        embed: embeds at most eight parts of 3 s, to check whether they are of one voice; None: this is not checked.

    Raises:
        ValueError: the waveform has a wrong shape or type, is empty, or has samples that are not finite.
    """
    if not waveform.size:
        raise ValueError("expected at least one sample, got none.")
    return measure_speech(waveform, only_speech(waveform, detector.segments(waveform)), embed)


def measure_speech(waveform: np.ndarray, speech: np.ndarray, embed: Optional[Embed] = None) -> Quality:
    """Measure a recording whose speech is already known.

    Args:
        waveform, embed: see `measure`.
        speech: the samples in which somebody speaks, (M,); M = 0 if nobody speaks.
    """
    has_speech = bool(speech.size)
    return Quality(
        duration_s=len(waveform) / SAMPLE_RATE,
        net_speech_s=len(speech) / SAMPLE_RATE,
        level_dbfs=_level_dbfs(speech if has_speech else waveform),
        clipped_share=_clipped_share(waveform),
        snr_db=_snr_db(waveform, speech) if has_speech else None,
        bandwidth_hz=_bandwidth_hz(speech) if has_speech else None,
        voice_agreement=_voice_agreement(speech, embed) if embed else None,
    )


def band_of(quality: Quality) -> str:
    """Return NARROW_BAND for telephone speech, otherwise WIDE_BAND."""
    return NARROW_BAND if quality.bandwidth_hz is not None and quality.bandwidth_hz < NARROW_HZ else WIDE_BAND


def problem(quality: Quality, limits: Limits = DEFAULT_LIMITS) -> Optional[Problem]:
    """Return the most serious reason why a recording is not good enough; None: it is good enough."""
    if quality.net_speech_s == 0:
        return Problem(NO_SPEECH, f"no speech was found in its {quality.duration_s:.1f} s")
    if quality.net_speech_s < limits.min_net_speech_s:
        return Problem(
            TOO_SHORT,
            f"{quality.net_speech_s:.1f} s of speech, at least {limits.min_net_speech_s:g} s are needed",
        )
    if quality.clipped_share > limits.max_clipped_share:
        return Problem(
            TOO_NOISY,
            f"{quality.clipped_share:.1%} of its samples are clipped, at most {limits.max_clipped_share:.1%} may be",
        )
    if quality.snr_db is not None and quality.snr_db < limits.min_snr_db:
        return Problem(
            TOO_NOISY,
            f"speech is {quality.snr_db:.0f} dB over the noise, at least {limits.min_snr_db:g} dB are needed",
        )
    if quality.voice_agreement is not None and quality.voice_agreement < limits.min_voice_agreement:
        return Problem(
            SEVERAL_SPEAKERS,
            f"several people seem to speak: the cosine between its parts is {quality.voice_agreement:.2f}, at least "
            f"{limits.min_voice_agreement:g} is expected for one voice",
        )
    return None


def _level_dbfs(waveform: np.ndarray) -> Optional[float]:
    power = float(_powers(waveform, min(FRAME_SAMPLES, len(waveform))).mean())
    return 10 * np.log10(power) if power > 0 else None


def _powers(waveform: np.ndarray, length: int, centred: bool = False) -> np.ndarray:
    """Return the mean squares of consecutive frames (F,), or their variances if `centred`."""
    frames = waveform[: len(waveform) // length * length].reshape(-1, length)
    powers = np.einsum("ij,ij->i", frames, frames, dtype=np.float64) / length
    return np.maximum(powers - frames.mean(axis=1, dtype=np.float64) ** 2, 0) if centred else powers


def _clipped_share(waveform: np.ndarray) -> float:
    low, high = float(waveform.min()), float(waveform.max())
    if low >= 0 or high <= 0:  # not an audio wave
        return 0.0
    return (np.count_nonzero(waveform >= PLATEAU * high) + np.count_nonzero(waveform <= PLATEAU * low)) / len(waveform)


def _snr_db(waveform: np.ndarray, speech: np.ndarray) -> Optional[float]:
    """Return the ratio of speech to noise in dB; the noise is that of the softest frames without digital silence."""
    if len(speech) < FRAME_SAMPLES:
        return None
    powers = _powers(waveform, FRAME_SAMPLES, centred=True)
    powers = powers[powers > 0]
    if len(powers) < MIN_FRAMES:
        return None
    noise = float(np.percentile(powers, FLOOR_PERCENTILE))
    signal = float(_powers(speech, FRAME_SAMPLES, centred=True).mean()) - noise
    floor = noise * 10 ** (-MAX_SNR_DB / 10)
    return float(min(10 * np.log10(max(signal, floor) / noise), MAX_SNR_DB))


def _bandwidth_hz(speech: np.ndarray) -> float:
    padded = np.pad(speech, (0, max(0, SPECTRUM_SAMPLES - len(speech))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, SPECTRUM_SAMPLES)
    frames = frames[:: max(SPECTRUM_SAMPLES // 2, len(frames) // MAX_SPECTRA)]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(SPECTRUM_SAMPLES)))).mean(axis=0)
    bands = power[: SPECTRUM_SAMPLES // 2].reshape(-1, BAND_BINS).sum(axis=1)
    heard = np.flatnonzero(bands > bands.max() * 10 ** (FAINT_DB / 10))
    highest = int(heard[-1]) + 1 if heard.size else 0
    return highest * BAND_BINS * SAMPLE_RATE / SPECTRUM_SAMPLES


def _voice_agreement(speech: np.ndarray, embed: Embed) -> Optional[float]:
    length = round(VOICE_WINDOW_S * SAMPLE_RATE)
    num_windows = len(speech) // length
    if num_windows < 2:
        return None
    taken = np.unique(np.linspace(0, num_windows - 1, min(num_windows, MAX_VOICE_WINDOWS)).round().astype(int))
    embeddings = np.stack([embed(speech[index * length : (index + 1) * length]) for index in taken]).astype(np.float64)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return _cosine_of_two_groups(embeddings @ embeddings.T)


def _cosine_of_two_groups(cosines: np.ndarray) -> float:
    """Return the mean cosine between the two groups that average linkage leaves; cosines (W, W), W >= 2.

    W is small. SciPy's linkage, used in enrolment, would add 0.25 s of import time to `verify`.
    """
    groups = [[index] for index in range(len(cosines))]
    while len(groups) > 2:
        pairs = [(first, second) for second in range(len(groups)) for first in range(second)]
        first, second = max(pairs, key=lambda pair: cosines[np.ix_(groups[pair[0]], groups[pair[1]])].mean())
        groups[first] += groups.pop(second)
    return float(cosines[np.ix_(*groups)].mean())
