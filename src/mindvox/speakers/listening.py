"""Turn a recording into an embedding, or refuse it if it is too poor to tell who speaks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindvox.corpus.section import Section
from mindvox.decisions import Source, examine
from mindvox.embedder import AN_ARRAY, Embedder, UnusableRecording
from mindvox.extraction import EmbedderChoice
from mindvox.speech.detector import SpeechDetector
from mindvox.speech.microphone import Microphone
from mindvox.speech.quality import Limits, Quality


class UnfitRecording(UnusableRecording):
    """A recording that is too poor to tell who speaks.

    Args:
        name, reason: see UnusableRecording.
        code: no_speech, too_short, too_noisy, several_speakers, or UNUSABLE.
        quality: the measured quality; None: the recording could not be read.
    """

    def __init__(self, name: str, reason: str, code: str, quality: Optional[Quality] = None) -> None:
        super().__init__(name, reason)
        self.code, self.quality = code, quality

    def __reduce__(self) -> tuple[Any, ...]:  # for pickle: worker processes send it
        return type(self), (self.name, self.reason, self.code, self.quality)


@dataclass(frozen=True)
class Heard:
    """The embedding and the quality of a usable recording.

    Attributes:
        source: the file's name without its folder, "the array" or "the microphone".
        embedding: (D,), float32, not scaled to length 1.
        quality: the measured quality.
    """

    source: str
    embedding: np.ndarray
    quality: Quality


class Listener:
    """A model together with a check of the recordings that it is given.

    Args:
        embedder: the model.
        detector: finds the speech.
        limits: the limits that a recording must keep to; None: the defaults.
    """

    def __init__(self, embedder: Embedder, detector: SpeechDetector, limits: Optional[Limits] = None) -> None:
        self.embedder, self.detector, self.limits = embedder, detector, limits or Limits()

    def hear(self, recording: Source, sample_rate: Optional[int] = None, channel: Optional[int] = None) -> Heard:
        """Return the embedding and the quality of a recording; see `examine` for the arguments.

        Raises:
            UnfitRecording: the recording cannot be used.
            UnreadRecording: the package that reads this format is not installed.
            InputError, ValueError: see `examine`.
        """
        if isinstance(recording, np.ndarray):
            source = AN_ARRAY
        elif isinstance(recording, Microphone):
            source = str(recording)
        else:
            source = Path(recording.path if isinstance(recording, Section) else recording).name
        examined = examine(self.embedder, recording, self.detector, self.limits, sample_rate, channel, source)
        if examined.problem is not None:
            raise UnfitRecording(source, examined.problem.text, examined.problem.code, examined.quality)
        assert examined.embedding is not None and examined.quality is not None
        return Heard(source, examined.embedding, examined.quality)


@dataclass(frozen=True)
class ListenerChoice:
    """The settings with which another process opens its own listener; the detector is always the fetched one."""

    embedder: EmbedderChoice
    limits: Limits

    def open(self) -> Listener:
        """Load the model and the detector."""
        return Listener(self.embedder.open(), SpeechDetector.open(), self.limits)
