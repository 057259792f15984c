"""What is heard of a recording: an embedding, and whether it is good enough to tell who speaks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from mindvox.corpus.audio import BadAudio, audio_of_array
from mindvox.corpus.decoders import NoDecoder
from mindvox.corpus.quality import DEFAULT_LIMITS, read_usable
from mindvox.embedder import AN_ARRAY, Embedder, Recording, UnreadRecording, UnusableRecording
from mindvox.speech.detector import SAMPLE_RATE, SpeechDetector
from mindvox.speech.quality import Limits, Quality, measure, problem

UNUSABLE = "unusable"  # code of a recording that cannot be read or is none


class UnfitRecording(UnusableRecording):
    """A recording that says too little about who speaks.

    Args:
        name, reason: see UnusableRecording.
        code: no_speech, too_short, too_noisy, several_speakers, or UNUSABLE.
        quality: what was measured; None: it could not be read.
    """

    def __init__(self, name: str, reason: str, code: str, quality: Optional[Quality] = None) -> None:
        super().__init__(name, reason)
        self.code, self.quality = code, quality


@dataclass(frozen=True)
class Heard:
    """What is known of a recording that can be used.

    Attributes:
        source: its file's name without the folder, or "the array".
        embedding: (D,), float32, not normalised in length.
        quality: what was measured.
    """

    source: str
    embedding: np.ndarray
    quality: Quality


class Listener:
    """A model, and a judge of what it is given.

    Args:
        embedder: the model.
        detector: finds the speech.
        limits: what a recording must keep to; None: the defaults.
    """

    def __init__(self, embedder: Embedder, detector: SpeechDetector, limits: Optional[Limits] = None) -> None:
        self.embedder, self.detector, self.limits = embedder, detector, limits or Limits()

    def hear(self, recording: Recording, sample_rate: Optional[int] = None, channel: Optional[int] = None) -> Heard:
        """Return what is heard of a recording; for the arguments see `Embedder.embed`.

        Raises:
            UnfitRecording: it cannot be used, and why.
            UnreadRecording: the package that reads it is not installed.
            InputError, ValueError: see `Embedder.embed`.
        """
        source = AN_ARRAY if isinstance(recording, np.ndarray) else Path(recording).name
        try:
            waveform = _read(recording, sample_rate, channel)
            looks_for_others = self.limits.min_voice_agreement > -1  # which doubles the work
            quality = measure(waveform, self.detector, self._embed_part if looks_for_others else None)
            found = problem(quality, self.limits)
            if found:
                raise UnfitRecording(source, found.text, found.code, quality)
            return Heard(source, self._embed(recording, waveform, sample_rate, channel), quality)
        except NoDecoder as error:
            raise UnreadRecording(source, error.reason) from None
        except BadAudio as error:
            raise UnfitRecording(source, error.reason, UNUSABLE) from None
        except (UnfitRecording, UnreadRecording):
            raise
        except UnusableRecording as error:
            raise UnfitRecording(source, error.reason, UNUSABLE) from None

    def _embed(
        self, recording: Recording, waveform: np.ndarray, sample_rate: Optional[int], channel: Optional[int]
    ) -> np.ndarray:
        if self.embedder.front_end.sample_rate == SAMPLE_RATE:  # not decoded a second time
            return self.embedder.embed(waveform, SAMPLE_RATE)
        return self.embedder.embed(recording, sample_rate, channel)

    def _embed_part(self, waveform: np.ndarray) -> np.ndarray:
        return self.embedder.embed(waveform, SAMPLE_RATE)


def _read(recording: Recording, sample_rate: Optional[int], channel: Optional[int]) -> np.ndarray:
    """Return the samples (N,) at the detector's rate."""
    if isinstance(recording, np.ndarray):
        clip = audio_of_array(recording, SAMPLE_RATE if sample_rate is None else sample_rate, SAMPLE_RATE, channel)
        DEFAULT_LIMITS.check(clip.waveform, SAMPLE_RATE)
        return clip.waveform
    if sample_rate is not None:
        raise ValueError(f"{recording}: a file knows its sample rate; expected none, got {sample_rate}.")
    return read_usable(recording, sample_rate=SAMPLE_RATE, channel=channel).waveform
