"""How waveforms and features are cut, repeated and centred."""

import numpy as np

INSTANCE_EPS = 1e-5  # torch's, of InstanceNorm1d
NORMALISATIONS = ("none", "mean", "instance")


def repeat_to(x: np.ndarray, length: int) -> np.ndarray:
    """Return the first `length` entries of `x` (..., after it its start again) along axis 0.

    Args:
        x: (N, ...), N >= 1: a waveform or features.
    """
    if len(x) >= length:
        return x[:length]
    return np.concatenate([x] * -(-length // len(x)))[:length]


def cut_frames(feats: np.ndarray, num_frames: int) -> np.ndarray:
    """Return the first `num_frames` frames (T, F); what is shorter is repeated from its start."""
    return repeat_to(feats, num_frames)


def window_edges(num_frames: int, max_frames: int) -> np.ndarray:
    """Return the edges of the windows that a long utterance is embedded in, so that memory has a bound.

    The windows are as few as possible and about equally long: n = ceil(num_frames / max_frames), and window i covers
    the frames from edge i, floor(i * num_frames / n), to edge i + 1. The C++ program has the same rule.

    Args:
        num_frames: frames of the utterance.
        max_frames: most frames of a window; 0: no limit, one window.

    Returns:
        The edges (n + 1,), from 0 to num_frames.
    """
    num_windows = -(-num_frames // max_frames) if max_frames else 1
    return np.arange(num_windows + 1) * num_frames // num_windows


def subtract_mean(feats: np.ndarray) -> np.ndarray:
    """Return features (..., T, F) with a mean of zero over their frames in each bin."""
    mean = feats.mean(axis=-2, keepdims=True, dtype=np.float64)  # a sum of many frames in float32 drifts
    return feats - mean.astype(feats.dtype)


def normalised(feats: np.ndarray, normalisation: str) -> np.ndarray:
    """Return features (..., T, F) as a model sees them.

    Args:
        normalisation: "none": as they are; "mean": each bin has a mean of zero over the frames; "instance": a mean of
            zero and a biased deviation of one, 1e-5 being added to the variance.
    """
    if normalisation == "none":
        return feats
    if normalisation == "mean":
        return subtract_mean(feats)
    centred = feats - feats.mean(axis=-2, keepdims=True, dtype=np.float64)
    variance = np.square(centred).mean(axis=-2, keepdims=True)
    return (centred / np.sqrt(variance + INSTANCE_EPS)).astype(feats.dtype)
