"""Find who speaks in a window: with pyannote's network, or with a speech detector and one speaker per window."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import numpy as np

from mindvox.diarization.frames import FRAME_STEP, SAMPLE_RATE, Windows, frame_at, num_frames_of
from mindvox.diarization.recording import Recording
from mindvox.errors import InputError
from mindvox.files import PathLike
from mindvox.home import ONNX, model_folder
from mindvox.progress import Progress

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

PUBLIC_NAME = "segmentation_pyannote"
WINDOW_SAMPLES = 160000  # 10 s, the length that the network was trained with
MAX_SPEAKERS, MAX_AT_ONCE = 3, 2  # most speakers that it separates in a window, and in a frame
BATCH_SIZE = 16  # windows
WINDOW_S, WINDOW_STEP_S = 1.5, 0.75  # windows with one speaker: as 3D-Speaker, wespeaker and mvector
MIN_SPEECH_SHARE = 0.5  # least share of speech in a window with one speaker


def powerset(num_speakers: int = MAX_SPEAKERS, max_at_once: int = MAX_AT_ONCE) -> np.ndarray:
    """Return the speakers of each class, bool (K, S): nobody, each one alone, each pair (Plaquet and Bredin 2023)."""
    sets = itertools.chain.from_iterable(
        itertools.combinations(range(num_speakers), size) for size in range(max_at_once + 1)
    )
    return np.array([[speaker in chosen for speaker in range(num_speakers)] for chosen in sets])


class Segmenter:
    """pyannote's segmentation-3.0, in ONNX Runtime.

    Args:
        session: takes waveforms (B, N) and returns log-probabilities of the classes (B, T, 7).
    """

    def __init__(self, session: "InferenceSession") -> None:
        self._session = session
        self._classes = powerset()

    @classmethod
    def open(cls, path: Optional[PathLike] = None) -> "Segmenter":
        """Load the network.

        Args:
            path: its ONNX file; None: the one that `mindvox fetch` downloaded.

        Raises:
            InputError: the file is missing, damaged, or another network.
        """
        file = Path(path) if path is not None else model_folder(PUBLIC_NAME) / ONNX
        if not file.is_file():
            hint = "" if path is not None else f" Fetch it first: mindvox fetch {PUBLIC_NAME}"
            raise InputError(f"{file}: no such file, expected the segmentation network.{hint}")
        from mindvox.engines.onnxruntime_engine import open_session  # imported here: the import takes 0.1 s

        session = open_session(file)
        shapes = [value.shape for value in (*session.get_inputs(), *session.get_outputs())]
        if [len(shape) for shape in shapes] != [2, 3] or shapes[1][2] != len(powerset()):
            raise InputError(
                f"{file}: expected a network from waveforms to {len(powerset())} classes, got shapes {shapes}."
            )
        return cls(session)

    def windows(self, recording: Recording, step_frames: int, progress: Optional[Progress] = None) -> Windows:
        """Return who speaks in windows of 10 s; the last one ends with the recording or less than a frame after it.

        Args:
            step_frames: step between windows, in frames.
            progress: counts seconds of the recording.
        """
        step, length = step_frames * FRAME_STEP, WINDOW_SAMPLES
        last = max(0, recording.num_samples - length)
        starts = sorted({*range(0, last, step), -(-last // FRAME_STEP) * FRAME_STEP})
        found = []
        for first in range(0, len(starts), BATCH_SIZE):
            batch = starts[first : first + BATCH_SIZE]
            waveforms = recording.part(batch[0], batch[-1] + length)
            waveforms = np.stack([waveforms[start - batch[0] : start - batch[0] + length] for start in batch])
            found.append(self.activity(waveforms))
            if progress is not None:
                progress.show((min(batch[-1] + step, recording.num_samples) - batch[0]) / SAMPLE_RATE)
        return Windows(np.array(starts) // FRAME_STEP, np.concatenate(found), num_frames_of(recording.num_samples))

    def activity(self, waveforms: np.ndarray) -> np.ndarray:
        """Return who speaks in each frame, bool (B, T, 3), given waveforms (B, N), float32: the most probable class."""
        name = self._session.get_inputs()[0].name
        (log_probabilities,) = self._session.run(None, {name: waveforms})
        return self._classes[log_probabilities.argmax(axis=2)]


def windows_of_speech(segments: Sequence[tuple[float, float]], num_samples: int) -> Windows:
    """Return windows of 1.5 s, 0.75 s apart, each with one speaker who talks within the segments.

    Windows with less than half speech are left out, unless some speech is in no other window.

    Args:
        segments: speech, (start, end) in seconds.
        num_samples: number of samples in the recording.
    """
    num_frames = num_frames_of(num_samples)
    speech = np.zeros(num_frames, bool)
    for start_s, end_s in segments:
        speech[frame_at(start_s) : frame_at(end_s)] = True
    length, step = (round(seconds * SAMPLE_RATE / FRAME_STEP) for seconds in (WINDOW_S, WINDOW_STEP_S))
    starts = np.arange(0, max(1, num_frames - length + step), step)
    padded = np.pad(speech, (0, length + step))
    activity = np.stack([padded[start : start + length] for start in starts])
    share = activity.mean(axis=1)
    kept = share >= MIN_SPEECH_SHARE
    covered = np.zeros(len(padded), bool)
    for start in starts[kept]:
        covered[start : start + length] = True
    for index in np.argsort(-share, kind="stable"):  # add the other windows that are needed, most speech first
        own = slice(starts[index], starts[index] + length)
        if (activity[index] & ~covered[own]).any():
            kept[index] = covered[own] = True
    return Windows(starts[kept], activity[kept][:, :, None], num_frames)
