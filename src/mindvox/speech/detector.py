"""Find speech with Silero's detector (snakers4/silero-vad 6.2, MIT), an ONNX file that `mindvox fetch` downloads.

detector = SpeechDetector.open()
detector.segments(waveform)  # [(0.42, 2.91), ...], seconds
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import numpy as np

from mindvox.errors import InputError
from mindvox.files import PathLike, sha256_file
from mindvox.home import ONNX, model_folder

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

SAMPLE_RATE = 16000  # Hz
WINDOW_SAMPLES = 512  # samples per probability
CONTEXT_SAMPLES = 64  # samples before the window that the network also gets
STATE_SHAPE = (2, 1, 128)  # state of the recurrent layer
PUBLIC_NAME = "silero_vad"
INPUTS = {"input", "state", "sr"}


@dataclass(frozen=True)
class Segmentation:
    """Rules that turn probabilities into segments. The defaults are those of silero-vad.

    A segment ends at the first window below `offset`, if another window below `offset` follows after `min_silence_s`
    and no window in between reaches `onset`.

    Args:
        onset: a segment begins at the first window of at least this probability.
        offset: probability below which a segment may end; at most `onset`.
        min_silence_s: least length in s of the silence that ends a segment.
        min_speech_s: least length of a segment in s; shorter ones are dropped.
        pad_s: padding on each side of a segment in s; two neighbours share the gap if it is shorter than both paddings.

    Raises:
        ValueError: a value is out of range.
    """

    onset: float = 0.5
    offset: float = 0.35
    min_silence_s: float = 0.1
    min_speech_s: float = 0.25
    pad_s: float = 0.03

    def __post_init__(self) -> None:
        if not 0 < self.offset <= self.onset < 1:
            raise ValueError(f"expected 0 < offset <= onset < 1, got offset {self.offset} and onset {self.onset}.")
        if not min(self.min_silence_s, self.min_speech_s, self.pad_s) >= 0:
            raise ValueError(f"expected lengths of at least 0 s, got {self}.")

    def segments(self, probabilities: np.ndarray, duration_s: float) -> list[tuple[float, float]]:
        """Return the start and end of each segment in s, in order and without overlap.

        Args:
            probabilities: probability of speech in consecutive windows, (N,).
            duration_s: duration of the recording in s; no segment ends after it.
        """
        found = [(start, end) for start, end in self._runs(probabilities) if end - start >= self.min_speech_s]
        padded = []
        for index, (start, end) in enumerate(found):
            before = start - found[index - 1][1] if index else 2 * start
            after = found[index + 1][0] - end if index + 1 < len(found) else 2 * max(0.0, duration_s - end)
            start, end = start - min(self.pad_s, before / 2), end + min(self.pad_s, after / 2)
            padded.append((start, min(end, duration_s)))
        return padded

    def _runs(self, probabilities: np.ndarray) -> Iterator[tuple[float, float]]:
        """Yield the start and end of each run of speech in s, including short ones."""
        window_s = WINDOW_SAMPLES / SAMPLE_RATE
        start = silent_from = None
        for index, probability in enumerate(probabilities):
            if probability >= self.onset:
                start = index if start is None else start
                silent_from = None
            elif start is not None and probability < self.offset:
                silent_from = index if silent_from is None else silent_from
                if (index - silent_from) * window_s >= self.min_silence_s:
                    yield start * window_s, silent_from * window_s
                    start = silent_from = None
        if start is not None:
            yield start * window_s, (len(probabilities) if silent_from is None else silent_from) * window_s


class SpeechDetector:
    """Silero's network, loaded. One detector serves many recordings, one at a time or in threads.

    Args:
        session: the network in ONNX Runtime.
        segmentation: how `segments` decides.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, session: "InferenceSession", segmentation: Segmentation = Segmentation()) -> None:
        self._session = session
        self.segmentation = segmentation

    @classmethod
    def open(cls, path: Optional[PathLike] = None, segmentation: Segmentation = Segmentation()) -> "SpeechDetector":
        """Load the network.

        Args:
            path: Silero's ONNX file (version 5 or 6); None: the one that `mindvox fetch silero_vad` downloaded.
            segmentation: how `segments` decides.

        Raises:
            InputError: the file is missing, damaged, or another network.
        """
        file = model_folder(PUBLIC_NAME) / ONNX if path is None else Path(path)
        if not file.is_file():
            advice = f" Fetch it first: mindvox fetch {PUBLIC_NAME}" if path is None else ""
            raise InputError(f"{file}: no such file, expected Silero's speech detector.{advice}")
        from mindvox.engines.onnxruntime_engine import open_session  # imported here: the import takes 0.1 s

        session = open_session(file, num_threads=1)  # more threads would only wait for each other
        names = {value.name for value in session.get_inputs()}
        if names != INPUTS:
            raise InputError(
                f"{file}: expected Silero's speech detector, with inputs {', '.join(sorted(INPUTS))}, got "
                f"{', '.join(sorted(names))}."
            )
        return cls(session, segmentation)

    def probabilities(self, waveform: np.ndarray) -> np.ndarray:
        """Return the probability of speech in each window of 512 samples (32 ms), (N,), float32.

        Args:
            waveform: mono, 16 kHz, full scale 1, (M,), floating. N is M / 512, rounded up; zeros fill the last window.

        Raises:
            ValueError: the shape or the type is wrong, or a sample is not finite.
        """
        waveform = _checked(waveform)
        num_windows = ceil(len(waveform) / WINDOW_SAMPLES)
        padded = np.zeros(CONTEXT_SAMPLES + num_windows * WINDOW_SAMPLES, np.float32)
        padded[CONTEXT_SAMPLES : CONTEXT_SAMPLES + len(waveform)] = waveform
        rate, state = np.array(SAMPLE_RATE, np.int64), np.zeros(STATE_SHAPE, np.float32)
        found = np.empty(num_windows, np.float32)
        for index in range(num_windows):
            first = index * WINDOW_SAMPLES
            window = padded[None, first : first + CONTEXT_SAMPLES + WINDOW_SAMPLES]
            output, state = self._session.run(None, {"input": window, "state": state, "sr": rate})
            found[index] = output[0, 0]
        return found

    def segments(self, waveform: np.ndarray) -> list[tuple[float, float]]:
        """Return the start and end of each segment of speech in s, in order; see `probabilities` for the argument."""
        return self.segmentation.segments(self.probabilities(waveform), len(waveform) / SAMPLE_RATE)


@dataclass(frozen=True)
class KeepSpeech:
    """A picklable function that returns the speech in samples (N,) at 16 kHz.

    Args:
        path: see `SpeechDetector.open`.
        identity: SHA-256 of that file.
    """

    path: str
    identity: str

    @classmethod
    def fetched(cls) -> "KeepSpeech":
        """Return the function with the fetched detector; see `SpeechDetector.open` for the errors."""
        path = str(model_folder(PUBLIC_NAME) / ONNX)
        SpeechDetector.open()  # fail here, and not in another process
        return cls(path, sha256_file(path))

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """Return the samples in which somebody speaks, concatenated, (M,)."""
        return only_speech(waveform, _opened(self.path).segments(waveform))


@lru_cache(maxsize=1)
def _opened(path: str) -> SpeechDetector:
    return SpeechDetector.open(path)


def only_speech(waveform: np.ndarray, segments: list[tuple[float, float]]) -> np.ndarray:
    """Return the samples of the segments, concatenated, (M',).

    Args:
        waveform: samples at 16 kHz, (M,).
        segments: start and end of each segment in s, in order and without overlap.
    """
    parts = [waveform[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] for start, end in segments]
    return np.concatenate([waveform[:0], *parts])


def _checked(waveform: np.ndarray) -> np.ndarray:
    if waveform.ndim != 1 or waveform.dtype.kind != "f":
        raise ValueError(f"expected samples (M,), floats of full scale 1, got {waveform.dtype} {waveform.shape}.")
    if not np.isfinite(waveform).all():
        raise ValueError("expected finite samples, got NaN or infinite ones.")
    return waveform
