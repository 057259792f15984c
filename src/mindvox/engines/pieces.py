"""Model inputs of a recording: the whole recording, its start, or windows of it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mindvox.engines.exported import ExportedModel
from mindvox.frontend import FrontEnd
from mindvox.frontend.frames import cut_frames, repeat_to, window_edges


class ModelInput(NamedTuple):
    """An input of a model.

    Attributes:
        num_frames: number of frames, also for samples.
        values: finished features (T, F), or samples (N,) for a waveform model.
    """

    num_frames: int
    values: np.ndarray


def pieces_of_waveform(
    exported: ExportedModel, front_end: FrontEnd, waveform: np.ndarray, max_frames: int = 0
) -> Iterator[ModelInput]:
    """Yield the model inputs of a waveform (N,), full scale 1, at the front end's sample rate.

    A model with its own windows gets those (`Windows`). Another model of fixed length gets the start, repeated if it is
    shorter. Any other model gets the whole, or windows (`window_edges`) if it is longer than `max_frames` frames. The
    embedding is the mean over the pieces, weighted by their frames.

    Args:
        max_frames: greatest number of frames of a window; 0: no limit.
    """
    if exported.input_kind == "features":
        yield from pieces_of_feats(exported, front_end, front_end(waveform), max_frames)
    elif exported.windows is not None and exported.num_samples is not None:
        for first in exported.windows.starts(front_end.num_frames(len(waveform))):
            last = first + exported.windows.num_frames
            samples = samples_of_window(front_end, waveform, first, last)
            yield ModelInput(last - first, exported.windows.fill(samples, exported.num_samples))
    elif exported.num_frames is not None and exported.num_samples is not None:
        yield ModelInput(exported.num_frames, repeat_to(waveform, exported.num_samples))
    else:
        num_frames = front_end.num_frames(len(waveform))
        for first, last in _windows(num_frames, max_frames):
            yield ModelInput(last - first, samples_of_window(front_end, waveform, first, last))


def pieces_of_feats(
    exported: ExportedModel, front_end: FrontEnd, feats: np.ndarray, max_frames: int = 0
) -> Iterator[ModelInput]:
    """Yield the model inputs of features (T, F) before `finish`; see pieces_of_waveform."""
    if exported.windows is not None:
        for first in exported.windows.starts(len(feats)):
            window = exported.windows.cut(feats, first)
            yield ModelInput(len(window), front_end.finish(window))
    elif exported.num_frames is not None:
        yield ModelInput(exported.num_frames, front_end.finish(cut_frames(feats, exported.num_frames)))
    else:
        for first, last in _windows(len(feats), max_frames):
            yield ModelInput(last - first, front_end.finish(feats[first:last]))


def samples_of_window(front_end: FrontEnd, waveform: np.ndarray, first: int, last: int) -> np.ndarray:
    """Return the samples of frames `first` to `last` of a waveform; the last frame extends to the end."""
    start = round(first * front_end.frame_shift_s * front_end.sample_rate)
    if last >= front_end.num_frames(len(waveform)):
        return waveform[start:]
    return waveform[start : start + front_end.num_samples(last - first)]


def _windows(num_frames: int, max_frames: int) -> list[tuple[int, int]]:
    edges = window_edges(num_frames, max_frames).tolist()
    return list(zip(edges[:-1], edges[1:], strict=True))
