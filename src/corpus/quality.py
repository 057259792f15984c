"""What makes a recording useless, although it can be read: one judge for every stage."""

from dataclasses import dataclass
from typing import Optional

import numpy as np

from src.corpus.audio import INT16_SCALE, SAMPLE_RATE, AudioClip, BadAudio, read_audio
from src.files import PathLike

FULL_SCALE = (INT16_SCALE - 1) / INT16_SCALE  # the greatest 16-bit sample
SILENCE_PEAK = 1e-4  # -80 dB: three steps of 16 bits


@dataclass(frozen=True)
class QualityLimits:
    """What a recording must keep to.

    Args:
        min_duration_s: shortest length, s.
        max_clipped_fraction: greatest share of samples at full scale.
    """

    min_duration_s: float = 0.1
    max_clipped_fraction: float = 0.2

    def check(self, waveform: np.ndarray) -> None:
        """Raise BadAudio unless the samples (N,), full scale 1, at 16 kHz, can be used."""
        duration_s = len(waveform) / SAMPLE_RATE
        if duration_s < self.min_duration_s:
            raise BadAudio(f"too short: {duration_s:.3f} s, shorter than min_duration {self.min_duration_s:g} s")
        if np.ptp(waveform) == 0:
            raise BadAudio("constant signal")
        peak = float(np.abs(waveform - waveform.mean(dtype=np.float64)).max())
        if peak < SILENCE_PEAK:
            raise BadAudio(f"silent: no sample is farther than {peak:.1g} from their mean")
        clipped = float(np.mean(np.abs(waveform) >= FULL_SCALE))
        if clipped > self.max_clipped_fraction:
            raise BadAudio(
                f"clipped: {clipped:.1%} of its samples are at full scale, more than max_clipped_fraction "
                f"{self.max_clipped_fraction:.1%}"
            )


def read_usable(
    path: PathLike, start: int = 0, stop: Optional[int] = None, limits: QualityLimits = QualityLimits()
) -> AudioClip:
    """Read samples of a recording (see read_audio) and judge them.

    Raises:
        BadAudio: they cannot be read, or do not keep to the limits.
    """
    clip = read_audio(path, start, stop)
    limits.check(clip.waveform)
    return clip
