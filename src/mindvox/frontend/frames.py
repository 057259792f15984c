"""Cutting, repeating and centring of waveforms and features."""

from dataclasses import dataclass

import numpy as np

INSTANCE_EPS = 1e-5  # as in torch's InstanceNorm1d
NORMALISATIONS = ("none", "mean", "instance")
LASTS = ("aligned", "padded")


@dataclass(frozen=True)
class Windows:
    """Windows of equal length in which a model embeds an utterance; the mean of their embeddings is taken.

    Attributes:
        num_frames: number of frames of a window, the only length that the model takes.
        step: distance between the starts of two windows, frames.
        last: "aligned": the last window ends with the utterance, and a shorter utterance is repeated from its start.
            "padded": after a full window another one follows at distance `step`, padded with zeros.
        min_coverage: with "padded", the last window is left out if less than this share of it lies before the
            utterance's last frame, unless it is the only one.

    Raises:
        ValueError: a value is impossible.
    """

    num_frames: int
    step: int
    last: str = "aligned"
    min_coverage: float = 0.0

    def __post_init__(self) -> None:
        if not (_is_count(self.num_frames) and _is_count(self.step) and self.step <= self.num_frames):
            raise ValueError(f"windows of {self.num_frames!r} frames with a step of {self.step!r}")
        if self.last not in LASTS:
            raise ValueError(f"`last` must be one of {LASTS}, got {self.last!r}.")
        most = 1 if self.last == "padded" else 0
        if not (isinstance(self.min_coverage, int | float) and 0 <= self.min_coverage <= most):
            raise ValueError(f"`min_coverage` must be from 0 to {most} with {self.last!r}, got {self.min_coverage!r}.")

    def starts(self, num_frames: int) -> list[int]:
        """Return the first frame of each window of an utterance of `num_frames` frames, at least 1."""
        if self.last == "aligned":
            behind = max(0, num_frames - self.num_frames)  # last possible start
            starts = list(range(0, behind + 1, self.step))
            return starts if starts[-1] == behind else [*starts, behind]
        starts = [0]
        while starts[-1] + self.num_frames <= num_frames:
            starts.append(starts[-1] + self.step)
        is_covered = num_frames - 1 - starts[-1] >= self.min_coverage * self.num_frames
        return starts if is_covered or len(starts) == 1 else starts[:-1]

    def cut(self, feats: np.ndarray, start: int) -> np.ndarray:
        """Return the window (num_frames, F) of features (T, F) at a start."""
        return self.fill(feats[start : start + self.num_frames], self.num_frames)

    def fill(self, x: np.ndarray, length: int) -> np.ndarray:
        """Return `length` entries (length, ...): those of x, followed by its repetition or zeros."""
        if self.last == "aligned":
            return repeat_to(x, length)
        x = x[:length]
        return np.concatenate((x, np.zeros((length - len(x), *x.shape[1:]), x.dtype)))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def repeat_to(x: np.ndarray, length: int) -> np.ndarray:
    """Return the first `length` entries along axis 0 of `x` repeated without end.

    Args:
        x: (N, ...), N >= 1: a waveform or features.
    """
    if len(x) >= length:
        return x[:length]
    return np.concatenate([x] * -(-length // len(x)))[:length]


def cut_frames(feats: np.ndarray, num_frames: int) -> np.ndarray:
    """Return the first `num_frames` frames (T, F); shorter features are repeated from their start."""
    return repeat_to(feats, num_frames)


def window_edges(num_frames: int, max_frames: int) -> np.ndarray:
    """Return the edges of the windows in which a long utterance is embedded with bounded memory.

    The windows are as few as possible and about equally long: n = ceil(num_frames / max_frames). Window i covers the
    frames from edge i, floor(i * num_frames / n), to edge i + 1. The C++ program uses the same rule.

    Args:
        num_frames: number of frames of the utterance.
        max_frames: greatest number of frames of a window; 0: no limit, one window.

    Returns:
        The edges (n + 1,), from 0 to num_frames.
    """
    num_windows = -(-num_frames // max_frames) if max_frames else 1
    return np.arange(num_windows + 1) * num_frames // num_windows


def subtract_mean(feats: np.ndarray) -> np.ndarray:
    """Return features (..., T, F) with the mean of each bin over the frames subtracted."""
    mean = feats.mean(axis=-2, keepdims=True, dtype=np.float64)  # float32 sums of many frames lose precision
    return feats - mean.astype(feats.dtype)


def normalised(feats: np.ndarray, normalisation: str) -> np.ndarray:
    """Return features (..., T, F) normalised as the model expects.

    Args:
        normalisation: "none": unchanged; "mean": each bin has mean zero over the frames; "instance": each bin has mean
            zero and biased deviation one, with 1e-5 added to the variance; "peak": each bin has greatest absolute value
            one, unless it is all zero.
    """
    if normalisation == "none":
        return feats
    if normalisation == "mean":
        return subtract_mean(feats)
    if normalisation == "peak":
        peak = np.abs(feats).max(axis=-2, keepdims=True)
        return feats / np.where(peak > 0, peak, 1).astype(feats.dtype)
    centred = feats - feats.mean(axis=-2, keepdims=True, dtype=np.float64)
    variance = np.square(centred).mean(axis=-2, keepdims=True)
    return (centred / np.sqrt(variance + INSTANCE_EPS)).astype(feats.dtype)
