"""Embed the speakers of each window, in batches."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Optional

import numpy as np

from mindvox.diarization.frames import FRAME_SPAN, FRAME_STEP, SAMPLE_RATE, Windows, runs_of
from mindvox.diarization.recording import Recording
from mindvox.embedder import Embedder
from mindvox.errors import InputError
from mindvox.frontend.frames import repeat_to
from mindvox.frontend.front_end import FrontEnd
from mindvox.progress import Progress

BATCH_SIZE = 32  # stretches
LENGTH_STEP = 25  # feature frames; lengths are cut to multiples of this, so that batches fill
MIN_STRETCH_FRAMES = 50  # feature frames, 0.5 s; a shorter stretch is not embedded on its own
MIN_SPEECH_FRAMES = 20  # feature frames, 0.2 s; less speech is not embedded
PART_FRAMES = 6000  # feature frames computed at once, 60 s
SAME_START_FRAMES = 5  # feature frames, 50 ms: windows that overlap find the same stretch up to this difference
NUM_RECENT = 64  # stretches with which a new one is compared; windows that overlap have fewer


class Voices(NamedTuple):
    """Embeddings of the speakers of all windows.

    A stretch is a run of frames in which only one speaker talks. A speaker of a window has one embedding per stretch,
    because the network sometimes merges two people who talk one after the other; their stretches have different voices.
    A speaker without a stretch of 0.5 s has one embedding of all their speech in the window.

    Attributes:
        windows, speakers: index of the window and of the speaker in it, (E,); sorted.
        starts, stops: first frame of the stretch in the window, and the frame after its last, (E,); both 0 if the
            embedding is not of one stretch.
        embeddings: (E, D), float32, of length 1.
        alone_s: speech without overlap from which the embedding was made, in s, (E,); 0 if it includes overlap.
    """

    windows: np.ndarray
    speakers: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    embeddings: np.ndarray
    alone_s: np.ndarray


class _Speech(NamedTuple):
    """Speech to be embedded: the values of a row of `Voices`, and the numbers of its feature frames."""

    speaker: int
    start: int
    stop: int
    frames: np.ndarray
    alone_s: float


def embed_voices(
    embedder: Embedder, recording: Recording, windows: Windows, max_speech_s: float, progress: Optional[Progress] = None
) -> Voices:
    """Return the embeddings of the speakers of each window; speakers with less than 0.2 s of speech are left out.

    Args:
        max_speech_s: only the first part, of this length in s, of a longer stretch is embedded.
        progress: counts windows.

    Raises:
        InputError: the model does not take features of any length, or its sample rate is not 16 kHz.
        UnusableRecording: the file is damaged.
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
    rows: list[tuple[int, int, int, int, float]] = []
    sources: list[int] = []  # for each row: the row that was embedded for it
    recent: deque[tuple[int, int, int]] = deque(maxlen=NUM_RECENT)  # first frame, number of frames, row
    embeddings: dict[int, np.ndarray] = {}
    waiting: dict[int, list[tuple[int, np.ndarray]]] = {}
    max_frames = max(LENGTH_STEP, round(max_speech_s / front_end.frame_shift_s))
    features = _Features(front_end, recording)

    def embed(length: int) -> None:
        numbers, feats = zip(*waiting.pop(length), strict=True)
        found = embedder.engine.encode(np.stack(feats))
        for number, embedding in zip(numbers, found, strict=True):
            embeddings[number] = embedding / max(float(np.linalg.norm(embedding)), 1e-12)

    for window, first in enumerate(windows.first_frames):
        inside = windows.activity[window, : windows.num_frames - first]  # ignore frames after the recording's end
        for speech in _speeches(inside, int(first), front_end):
            own = speech.frames[:max_frames]
            own = own[: max(LENGTH_STEP, len(own) // LENGTH_STEP * LENGTH_STEP)]
            row, is_stretch = len(rows), speech.stop > 0
            rows.append((window, speech.speaker, speech.start, speech.stop, speech.alone_s))
            earlier = _row_of(own, recent) if is_stretch else None
            sources.append(row if earlier is None else earlier)
            if earlier is not None:
                continue
            if is_stretch:
                recent.append((int(own[0]), len(own), row))
            feats = features.at(own)
            chosen = front_end.finish(feats)
            chosen = repeat_to(chosen, max(LENGTH_STEP, exported.min_frames)) if len(chosen) < LENGTH_STEP else chosen
            waiting.setdefault(len(chosen), []).append((row, chosen.astype(np.float32, copy=False)))
            if len(waiting[len(chosen)]) == BATCH_SIZE:
                embed(len(chosen))
        if progress is not None:
            progress.show(1)
    while waiting:
        embed(next(iter(waiting)))
    if not rows:
        none = np.empty(0, int)
        return Voices(none, none, none, none, np.empty((0, embedder.emb_size), np.float32), np.empty(0))
    numbers, speakers, starts, stops, seconds = (np.array(column) for column in zip(*rows, strict=True))
    stacked = np.stack([embeddings[source] for source in sources])
    return Voices(numbers, speakers, starts, stops, stacked, seconds)


def _row_of(frames: np.ndarray, recent: Iterable[tuple[int, int, int]]) -> Optional[int]:
    """Return the row of an earlier window's stretch that is the same speech, or None."""
    for first, num_frames, row in recent:
        if num_frames == len(frames) and abs(first - int(frames[0])) <= SAME_START_FRAMES:
            return row
    return None


def _speeches(activity: np.ndarray, first: int, front_end: FrontEnd) -> Iterator[_Speech]:
    """Yield the speech of a window that is embedded.

    Args:
        activity: whether each speaker talks in each frame of the window, bool (T, S).
        first: frame of the recording in which the window begins.
    """
    middles = _Middles(first, len(activity), front_end)
    alone = activity & (activity.sum(axis=1, keepdims=True) == 1)
    for speaker in np.flatnonzero(activity.any(axis=0)):
        stretches = [
            _Speech(int(speaker), start, stop, frames, len(frames) * front_end.frame_shift_s)
            for start, stop in runs_of(alone[:, speaker])
            if len(frames := middles.inside(start, stop)) >= MIN_STRETCH_FRAMES
        ]
        if stretches:
            yield from stretches
            continue
        for mask, frame_s in ((alone, front_end.frame_shift_s), (activity, 0.0)):
            frames = middles.of(mask[:, speaker])
            if len(frames) >= MIN_SPEECH_FRAMES:
                yield _Speech(int(speaker), 0, 0, frames, len(frames) * frame_s)
                break


class _Middles:
    """Maps frames of a window to the feature frames of the recording whose middles are in them."""

    def __init__(self, first: int, num_frames: int, front_end: FrontEnd) -> None:
        shift, half = front_end.frame_shift_s * SAMPLE_RATE, front_end.num_samples(1) / 2
        start, stop = first * FRAME_STEP, (first + num_frames - 1) * FRAME_STEP + FRAME_SPAN
        self._numbers = np.arange(-(-start // shift), (stop - 2 * half) // shift + 1).astype(int)
        seen_at = self._numbers * shift + half - FRAME_SPAN / 2
        self._frames = np.clip(np.rint(seen_at / FRAME_STEP).astype(int) - first, 0, num_frames - 1)

    def inside(self, start: int, stop: int) -> np.ndarray:
        """Return the feature frames in frames `start` to `stop` of the window."""
        return self._numbers[np.searchsorted(self._frames, start) : np.searchsorted(self._frames, stop)]

    def of(self, active: np.ndarray) -> np.ndarray:
        """Return the feature frames in active frames of the window, bool (T,)."""
        return self._numbers[active[self._frames]]


class _Features:
    """Features of a recording, each computed once; the windows must be requested from start to end."""

    def __init__(self, front_end: FrontEnd, recording: Recording) -> None:
        self._front_end, self._recording = front_end, recording
        self._parts: dict[int, np.ndarray] = {}

    def at(self, frames: np.ndarray) -> np.ndarray:
        """Return features (len(frames), F) of ascending feature frames of the recording."""
        first, last = int(frames[0]) // PART_FRAMES, int(frames[-1]) // PART_FRAMES
        found = [
            self._part(number)[frames[frames // PART_FRAMES == number] - number * PART_FRAMES]
            for number in range(first, last + 1)
        ]
        return np.concatenate(found) if len(found) > 1 else found[0]

    def _part(self, number: int) -> np.ndarray:
        if number not in self._parts:
            self._parts = {kept: part for kept, part in self._parts.items() if kept >= number - 1}
            shift = self._front_end.frame_shift_s * SAMPLE_RATE
            start = round(number * PART_FRAMES * shift)
            stop = min(start + self._front_end.num_samples(PART_FRAMES), self._recording.num_samples)
            self._parts[number] = self._front_end(self._recording.part(start, stop))[:PART_FRAMES]
        return self._parts[number]
