"""A recording that is read in parts, so that many hours fit into memory."""

from pathlib import Path
from typing import Optional, Union

import numpy as np

from mindvox.corpus.audio import SAMPLE_RATE, BadAudio, TooLong, audio_info, audio_of_array, read_audio
from mindvox.embedder import AN_ARRAY, UnusableRecording
from mindvox.files import PathLike

MAX_DURATION_S = 24 * 3600  # memory grows with the length; docs/diarization.md gives the memory for 12 hours


class Recording:
    """Samples at 16 kHz, mono, full scale 1.

    A seekable file of 16 kHz is read part by part; any other is read whole, with 4 bytes per sample.

    Args:
        source: a file; or samples (N,) or (N, channels), see `audio_of_array`.
        sample_rate: sample rate of an array in Hz; None: 16000.
        channel: the only channel to use, from 0; None: the mean of all.

    Attributes:
        name: the file's name without folder and suffix.
        num_samples: number of samples at 16 kHz.

    Raises:
        UnusableRecording: the source cannot be read, has no samples, or is longer than MAX_DURATION_S.
    """

    def __init__(
        self, source: Union[PathLike, np.ndarray], sample_rate: Optional[int] = None, channel: Optional[int] = None
    ) -> None:
        self._channel = channel
        self._path: Optional[Path] = None
        self._waveform: Optional[np.ndarray] = None
        self.name = "array" if isinstance(source, np.ndarray) else Path(source).stem
        try:
            if isinstance(source, np.ndarray):
                _check_length(len(source), sample_rate or SAMPLE_RATE)
                self._waveform = audio_of_array(source, sample_rate or SAMPLE_RATE, SAMPLE_RATE, channel).waveform
            else:
                self._path = Path(source)
                info = audio_info(source)
                if info.can_seek and info.sample_rate == SAMPLE_RATE:
                    _check_length(info.num_samples, SAMPLE_RATE)
                    self.num_samples = info.num_samples
                    self.part(0, min(1, info.num_samples))  # detect a missing channel at once
                    return
                self._waveform = read_audio(source, channel=channel, max_duration_s=MAX_DURATION_S).waveform
        except TooLong as error:
            raise UnusableRecording(self._label, f"{error.reason}: cut it, and diarize the parts") from None
        except BadAudio as error:
            raise UnusableRecording(self._label, error.reason) from None
        self.num_samples = len(self._waveform)

    @property
    def _label(self) -> str:
        """The recording's name in messages."""
        return AN_ARRAY if self._path is None else str(self._path)

    @property
    def duration_s(self) -> float:
        """Duration in s."""
        return self.num_samples / SAMPLE_RATE

    def part(self, start: int, stop: int) -> np.ndarray:
        """Return samples `start` to `stop`, float32, with zeros after the end.

        Raises:
            UnusableRecording: the file is damaged there.
        """
        last = min(stop, self.num_samples)
        if self._waveform is not None:
            found = self._waveform[start:last]
        else:
            assert self._path is not None
            try:
                found = read_audio(self._path, start, last, channel=self._channel).waveform
            except BadAudio as error:
                raise UnusableRecording(self._label, error.reason) from None
        return np.pad(found, (0, stop - last)) if stop > last else found


def _check_length(num_samples: int, sample_rate: int) -> None:
    if num_samples > MAX_DURATION_S * sample_rate:
        raise TooLong(f"longer than {MAX_DURATION_S:g} s")
