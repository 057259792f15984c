"""Recordings that can be read but say nothing about a speaker."""

from dataclasses import dataclass

import numpy as np

from src.corpus.audio import SAMPLE_RATE, BadAudio

FULL_SCALE = 32767 / 32768  # the greatest 16-bit sample
SILENCE_PEAK = 1e-4  # -80 dB: three steps of 16 bits


@dataclass(frozen=True)
class QualityLimits:
    """What a training recording must keep to.

    Args:
        min_duration_s: shortest length, s.
        max_clipped_fraction: greatest share of samples at full scale.
    """

    min_duration_s: float
    max_clipped_fraction: float

    def check(self, waveform: np.ndarray) -> None:
        """Raise BadAudio unless the samples (N,), full scale 1, at 16 kHz, can be used."""
        duration_s = len(waveform) / SAMPLE_RATE
        if duration_s < self.min_duration_s:
            raise BadAudio(f"too short: {duration_s:.3f} s, shorter than min_duration {self.min_duration_s:g} s")
        peak = float(np.abs(waveform).max())
        if peak < SILENCE_PEAK:
            raise BadAudio(f"silent: its largest sample is {peak:.1g}")
        clipped = float(np.mean(np.abs(waveform) >= FULL_SCALE))
        if clipped > self.max_clipped_fraction:
            raise BadAudio(
                f"clipped: {clipped:.1%} of its samples are at full scale, more than max_clipped_fraction "
                f"{self.max_clipped_fraction:.1%}"
            )
