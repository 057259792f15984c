"""A recording, or a section of one given in seconds."""

from dataclasses import dataclass
from typing import Optional

from mindvox.corpus.audio import SAMPLE_RATE, AudioClip, BadAudio, audio_info, read_audio
from mindvox.files import PathLike

STOP_TOLERANCE_S = 0.1  # lists round their times, so that a stop may exceed the end


@dataclass(frozen=True)
class Section:
    """Seconds `start_s` to `stop_s` of a file; a stop of None means the end."""

    path: PathLike
    start_s: float = 0.0
    stop_s: Optional[float] = None

    def __str__(self) -> str:
        if not self.start_s and self.stop_s is None:
            return str(self.path)
        return f"{self.path}, {self.start_s:g} to {'its end' if self.stop_s is None else f'{self.stop_s:g} s'}"

    def bounds(self, num_samples: int) -> tuple[int, int]:
        """Return the first and the end sample (exclusive).

        Args:
            num_samples: length of the file at 16 kHz, the rate of the returned indices too.

        Raises:
            BadAudio: the section is empty, or the file ends before `stop_s`.
        """
        start, stop = round(self.start_s * SAMPLE_RATE), num_samples
        if self.stop_s is not None:
            stop = round(self.stop_s * SAMPLE_RATE)
            if stop > num_samples + STOP_TOLERANCE_S * SAMPLE_RATE:
                raise BadAudio(f"stops at {self.stop_s:g} s, but the file ends at {num_samples / SAMPLE_RATE:g} s")
            stop = min(stop, num_samples)
        if not 0 <= start < stop:
            raise BadAudio(f"starts at {start / SAMPLE_RATE:g} s and stops at {stop / SAMPLE_RATE:g} s")
        return start, stop

    def read(self, sample_rate: int = SAMPLE_RATE, channel: Optional[int] = None) -> AudioClip:
        """Return the samples; for the arguments see `read_audio`.

        Raises:
            BadAudio: as `read_audio` and `bounds`.
        """
        if not self.start_s and self.stop_s is None:
            return read_audio(self.path, sample_rate=sample_rate, channel=channel)
        first, after = self.bounds(audio_info(self.path).num_samples)
        start, stop = (round(bound * sample_rate / SAMPLE_RATE) for bound in (first, after))
        return read_audio(self.path, start, stop, sample_rate, channel)
