"""The time grid of diarization, and speaker activity in overlapping windows on this grid.

Frames are those of PyanNet: one every 270 samples (16.875 ms at 16 kHz), each covering 991 samples. Windows begin on a
frame, so the frames of overlapping windows coincide.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mindvox.corpus.audio import SAMPLE_RATE

FRAME_STEP = 270  # samples between two frames
FRAME_SPAN = 991  # samples that one frame covers


def time_of(frame: int) -> float:
    """Return the middle of a frame in s. Turns begin at the middle of a frame, and end at that of a silent frame."""
    return (frame * FRAME_STEP + FRAME_SPAN / 2) / SAMPLE_RATE


def num_frames_of(num_samples: int) -> int:
    """Return how many frames fit into a recording, at least one."""
    return max(1, 1 + (num_samples - FRAME_SPAN) // FRAME_STEP)


def frame_at(time_s: float) -> int:
    """Return the frame whose middle is nearest to a time, at least 0."""
    return max(0, round((time_s * SAMPLE_RATE - FRAME_SPAN / 2) / FRAME_STEP))


def runs_of(active: np.ndarray) -> list[tuple[int, int]]:
    """Return the first frame of each run of active frames, bool (T,), and the frame after its last."""
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


@dataclass(frozen=True)
class Windows:
    """Speaker activity in overlapping windows of equal length.

    Each window numbers its speakers on its own: the first speaker of one window may be another person in the next.

    Attributes:
        first_frames: the first frame of each window, (W,).
        activity: whether a window's speaker talks in a frame, bool (W, T, S).
        num_frames: number of frames in the recording.
    """

    first_frames: np.ndarray
    activity: np.ndarray
    num_frames: int

    def counts(self) -> np.ndarray:
        """Return the number of speakers in each frame of the recording, (num_frames,): the windows' rounded mean."""
        active, covered = (np.zeros(self.num_frames, np.float32) for _ in range(2))
        for first, count in zip(self.first_frames, self.activity.sum(axis=2), strict=True):
            kept = count[: self.num_frames - first]
            active[first : first + len(kept)] += kept
            covered[first : first + len(kept)] += 1
        return np.rint(active / np.maximum(covered, 1)).astype(int)

    def within(self, speech: Sequence[tuple[float, float]]) -> "Windows":
        """Return the windows without activity outside `speech`, (start, end) in seconds."""
        length = self.activity.shape[1]
        allowed = np.zeros(self.num_frames + length, bool)
        for start_s, end_s in speech:
            allowed[frame_at(start_s) : frame_at(end_s)] = True
        masks = np.stack([allowed[first : first + length] for first in self.first_frames])
        return replace(self, activity=self.activity & masks[:, :, None])
