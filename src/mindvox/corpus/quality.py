"""Checks whether a readable recording is usable; every stage uses the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, Protocol, Union

import numpy as np

from mindvox.corpus.audio import INT16_SCALE, SAMPLE_RATE, AudioClip, BadAudio, Skipped, read_audio
from mindvox.errors import InputError, UsageError
from mindvox.files import PathLike

if TYPE_CHECKING:
    from mindvox.config import EvalPrepConfig, TrainPrepConfig

FULL_SCALE = (INT16_SCALE - 1) / INT16_SCALE  # the greatest 16-bit sample
MAX_GAIN_DB = 300.0  # greatest change of a level
BLOCK_SAMPLES = 1 << 20  # samples squared at once
SILENCE_PEAK = 1e-4  # -80 dB: three steps of 16 bits
NAMES_SHOWN = 20  # unusable recordings that a message names


@dataclass(frozen=True)
class QualityLimits:
    """Requirements for a recording.

    Args:
        min_duration_s: shortest length, s.
        max_clipped_fraction: greatest share of samples at full scale.
    """

    min_duration_s: float = 0.1
    max_clipped_fraction: float = 0.2

    def check(self, waveform: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
        """Raise BadAudio unless the samples (N,), full scale 1, can be used."""
        duration_s = len(waveform) / sample_rate
        if duration_s < self.min_duration_s:
            raise BadAudio(f"too short: {duration_s:.3f} s, shorter than min_duration {self.min_duration_s:g} s")
        low, high = waveform.min(), waveform.max()  # no copies: a recording may be hours long
        if low == high:
            raise BadAudio("constant signal")
        mean = np.float32(waveform.mean(dtype=np.float64))
        peak = float(max(high - mean, mean - low))
        if peak < SILENCE_PEAK:
            raise BadAudio(f"silent: no sample is farther than {peak:.1g} from their mean")
        num_clipped = np.count_nonzero(waveform >= FULL_SCALE) + np.count_nonzero(waveform <= -FULL_SCALE)
        clipped = num_clipped / len(waveform)
        if clipped > self.max_clipped_fraction:
            raise BadAudio(
                f"clipped: {clipped:.1%} of its samples are at full scale, more than max_clipped_fraction "
                f"{self.max_clipped_fraction:.1%}"
            )


DEFAULT_LIMITS = QualityLimits()
NOISE_LIMITS = QualityLimits(min_duration_s=0, max_clipped_fraction=1)  # of noises and babble: not silent


def read_usable(
    path: PathLike,
    start: int = 0,
    stop: Optional[int] = None,
    limits: QualityLimits = DEFAULT_LIMITS,
    sample_rate: int = SAMPLE_RATE,
    channel: Optional[int] = None,
) -> AudioClip:
    """Read samples of a recording (see read_audio) and check them.

    Raises:
        BadAudio: they cannot be read, or do not meet the limits.
    """
    clip = read_audio(path, start, stop, sample_rate, channel)
    limits.check(clip.waveform, sample_rate)
    return clip


def level_db(waveform: np.ndarray) -> float:
    """Return the root mean square of samples (N,), not all zero, in dB below full scale."""
    blocks = (waveform[first : first + BLOCK_SAMPLES] for first in range(0, len(waveform), BLOCK_SAMPLES))
    return 10 * np.log10(sum(np.square(block, dtype=np.float64).sum() for block in blocks) / len(waveform))


def set_level(waveform: np.ndarray, target_db: float) -> np.ndarray:
    """Scale samples (N,) to a root mean square of `target_db` below full scale, like mvector's `use_dB_normalization`.

    mvector lets peaks exceed full scale, where a 16-bit store would clip them. Here the largest sample limits the gain,
    so that a recording with high peaks stays softer than the target.

    Raises:
        BadAudio: the gain would exceed MAX_GAIN_DB, as in mvector.
    """
    gain_db = target_db - level_db(waveform)
    if gain_db > MAX_GAIN_DB:
        raise BadAudio(f"too soft: {target_db:g} dB would take a gain of more than {MAX_GAIN_DB:g} dB")
    gain = min(10 ** (gain_db / 20), FULL_SCALE / float(max(waveform.max(), -waveform.min())))
    return waveform * np.float32(gain)


class KeepSpeech(Protocol):
    """A function that returns the speech in samples (N,) at 16 kHz, (M,), M = 0 where there is none.

    It is sent to other processes. The detector is not of this package: who prepares passes it in.

    Attributes:
        identity: what tells it from other detectors; part of the stores that it makes.
    """

    @property
    def identity(self) -> str:
        """See above."""
        ...

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """See above."""
        ...


@dataclass(frozen=True)
class Reading:
    """How a store's recordings are read: checked, cut to their speech, then scaled to a level, in mvector's order.

    Args:
        limits: requirements for a recording, and for its speech where `keep_speech` cuts it.
        target_db: level of each recording, dB below full scale; None: unchanged.
        keep_speech: cuts out everything but speech; None: nothing is cut out.
    """

    limits: QualityLimits = DEFAULT_LIMITS
    target_db: Optional[float] = None
    keep_speech: Optional[KeepSpeech] = None

    @classmethod
    def from_config(
        cls, config: "Union[TrainPrepConfig, EvalPrepConfig]", keep_speech: Optional[KeepSpeech] = None
    ) -> "Reading":
        """Return the settings of a preparation.

        Args:
            keep_speech: used if `do_vad` is true.

        Raises:
            UsageError: `do_vad` is true, and `keep_speech` is not given.
        """
        if config.do_vad and keep_speech is None:
            raise UsageError("do_vad: this caller has no speech detector to pass in; use `mindvox prepare`.")
        limits = QualityLimits(config.min_duration, config.max_clipped_fraction)
        target_db = config.target_db if config.use_db_normalization else None
        return cls(limits, target_db, keep_speech if config.do_vad else None)

    def settings(self) -> dict[str, Any]:
        """Return the settings that decide which recordings a store holds, and their level."""
        return {
            "min_duration": self.limits.min_duration_s,
            "max_clipped_fraction": self.limits.max_clipped_fraction,
            "target_dB": self.target_db,  # also None in stores made before this key existed
            "do_vad": self.keep_speech.identity if self.keep_speech else None,  # likewise
        }

    def read(self, path: PathLike, start: int = 0, stop: Optional[int] = None) -> AudioClip:
        """Read samples of a recording; see read_usable. With `keep_speech` only its speech is returned."""
        clip = read_usable(path, start, stop, self.limits)
        if self.keep_speech is not None:
            clip = clip._replace(waveform=self._speech(clip.waveform, self.keep_speech))
        return clip if self.target_db is None else clip._replace(waveform=set_level(clip.waveform, self.target_db))

    def _speech(self, waveform: np.ndarray, keep_speech: KeepSpeech) -> np.ndarray:
        speech = keep_speech(waveform)
        if not len(speech):
            raise BadAudio(f"no speech in its {len(waveform) / SAMPLE_RATE:.1f} s")
        try:
            self.limits.check(speech)
        except BadAudio as error:
            raise BadAudio(f"its speech: {error.reason}") from None
        return speech


def check_skipped(data_folder: PathLike, skipped: Sequence[Skipped], max_skipped: float) -> None:
    """Raise InputError if more than `max_skipped` recordings are unusable."""
    if len(skipped) > max_skipped:
        raise InputError(
            f"{data_folder}: {len(skipped)} recordings cannot be used so far, more than max_bad_fraction allows: "
            f"{list_skipped(skipped)}. Repair or remove them."
        )


def list_skipped(skipped: Sequence[Skipped]) -> str:
    """Return the first names with reasons, and the number of the others."""
    shown = ", ".join(f"{utt_id} ({reason})" for utt_id, reason in skipped[:NAMES_SHOWN])
    return shown if len(skipped) <= NAMES_SHOWN else f"{shown} and {len(skipped) - NAMES_SHOWN} more"
