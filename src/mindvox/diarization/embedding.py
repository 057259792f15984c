"""Embeddings of the speakers of each window, in batches."""

from typing import NamedTuple, Optional

import numpy as np

from mindvox.diarization.frames import FRAME_SPAN, FRAME_STEP, SAMPLE_RATE, Windows
from mindvox.diarization.recording import Recording
from mindvox.embedder import Embedder
from mindvox.errors import InputError
from mindvox.frontend.frames import repeat_to
from mindvox.frontend.front_end import FrontEnd
from mindvox.progress import Progress

BATCH_SIZE = 32  # speakers
LENGTH_STEP = 25  # feature frames: lengths are cut to multiples of it, so that batches fill
MIN_SPEECH_FRAMES = 20  # feature frames, 0.2 s: of less no embedding is made


class LocalSpeakers(NamedTuple):
    """The speakers of all windows that have an embedding.

    Attributes:
        windows, speakers: which window, and which of its speakers, (E,).
        embeddings: of length 1, float32 (E, D).
        alone_s: speech without overlap that the embedding is of, s, (E,); 0 where there is overlap in it.
    """

    windows: np.ndarray
    speakers: np.ndarray
    embeddings: np.ndarray
    alone_s: np.ndarray


def embed_speakers(
    embedder: Embedder, recording: Recording, windows: Windows, max_speech_s: float, progress: Optional[Progress] = None
) -> LocalSpeakers:
    """Return the embedding of each speaker of each window, from frames in which no other talks.

    A speaker who has fewer than MIN_SPEECH_FRAMES alone is embedded with the overlaps; who hardly talks is left out.

    Args:
        max_speech_s: longer speech of one speaker in one window is cut, s.
        progress: counts windows.

    Raises:
        InputError: the model takes no features of frames, or another sample rate than 16 kHz.
    """
    front_end, exported = embedder.front_end, embedder.engine.exported
    if (
        front_end.sample_rate != SAMPLE_RATE
        or exported.num_frames
        or exported.windows
        or exported.input_kind != "features"
    ):
        raise InputError(
            f"{embedder.model_file}: diarization needs a model that takes features of 16 kHz and any length."
        )
    rows: list[tuple[int, int, float]] = []
    embeddings: dict[int, np.ndarray] = {}
    waiting: dict[int, list[tuple[int, np.ndarray]]] = {}
    max_frames = max(LENGTH_STEP, round(max_speech_s / front_end.frame_shift_s))

    def embed(length: int) -> None:
        numbers, feats = zip(*waiting.pop(length), strict=True)
        found = embedder.engine.encode(np.stack(feats))
        for number, embedding in zip(numbers, found, strict=True):
            embeddings[number] = embedding / max(float(np.linalg.norm(embedding)), 1e-12)

    alone = windows.alone()
    for window, first in enumerate(windows.first_frames):
        feats = None
        for speaker in np.flatnonzero(windows.activity[window].any(axis=0)):
            if feats is None:
                num_samples = (windows.activity.shape[1] - 1) * FRAME_STEP + FRAME_SPAN
                feats = front_end(recording.part(first * FRAME_STEP, first * FRAME_STEP + num_samples))
            own, alone_s = _frames_of(alone[window, :, speaker], len(feats), front_end), 0.0
            if len(own) >= MIN_SPEECH_FRAMES:
                alone_s = len(own) * front_end.frame_shift_s
            else:
                own = _frames_of(windows.activity[window, :, speaker], len(feats), front_end)
            if len(own) < MIN_SPEECH_FRAMES:
                continue
            own = own[:max_frames]
            chosen = front_end.finish(feats[own[: max(LENGTH_STEP, len(own) // LENGTH_STEP * LENGTH_STEP)]])
            chosen = repeat_to(chosen, max(LENGTH_STEP, exported.min_frames)) if len(chosen) < LENGTH_STEP else chosen
            waiting.setdefault(len(chosen), []).append((len(rows), chosen.astype(np.float32, copy=False)))
            rows.append((window, int(speaker), alone_s))
            if len(waiting[len(chosen)]) == BATCH_SIZE:
                embed(len(chosen))
        if progress is not None:
            progress.show(1)
    while waiting:
        embed(next(iter(waiting)))
    if not rows:
        empty = np.empty(0, int)
        return LocalSpeakers(empty, empty, np.empty((0, embedder.emb_size), np.float32), np.empty(0))
    numbers, speakers, seconds = zip(*rows, strict=True)
    stacked = np.stack([embeddings[number] for number in range(len(rows))])
    return LocalSpeakers(np.array(numbers), np.array(speakers), stacked, np.array(seconds))


def _frames_of(active: np.ndarray, num_feats: int, front_end: FrontEnd) -> np.ndarray:
    """Return the feature frames whose middle lies in an active frame of the window."""
    middles = np.arange(num_feats) * front_end.frame_shift_s * SAMPLE_RATE + front_end.num_samples(1) / 2
    frames = np.clip(np.rint((middles - FRAME_SPAN / 2) / FRAME_STEP).astype(int), 0, len(active) - 1)
    return np.flatnonzero(active[frames])
