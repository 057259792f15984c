"""Embed recordings with an exported model.

    embedder = Embedder.open("campplus_zh_en")
    embedding = embedder.embed("anna.flac")

MindSpore is imported only if it is the engine.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from mindvox.config import Config
from mindvox.corpus.audio import (
    CHANNELS_CANCEL,
    SUFFIX_EXAMPLES,
    BadAudio,
    Skipped,
    audio_of_array,
)
from mindvox.corpus.decoders import NoDecoder
from mindvox.corpus.quality import DEFAULT_LIMITS
from mindvox.corpus.section import Section
from mindvox.corpus.walk import walk_audio
from mindvox.engines.engine import AUTO, Engine, encode_named, load_engine
from mindvox.engines.exported import description_path, find_exported
from mindvox.engines.pieces import ModelInput, pieces_of_waveform
from mindvox.errors import InputError, UsageError
from mindvox.files import PathLike
from mindvox.frontend import front_end_of
from mindvox.progress import Progress

MAX_FRAMES = Config.max_frames
BATCH_SIZE = 16
DEFAULT_MODEL = "campplus_zh_en"
AN_ARRAY = "the array"  # name of an array in messages

Recording = Union[PathLike, Section, np.ndarray]


class UnusableRecording(InputError):  # noqa: N818 - a finding about a recording, as BadAudio is
    """A recording has no usable speech.

    Args:
        name: its path.
        reason: why, in a few words.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}.")
        self.name, self.reason = name, reason

    def __reduce__(self) -> tuple[Any, ...]:  # for pickling between processes
        return type(self), (self.name, self.reason)


class UnreadRecording(UnusableRecording):
    """No installed package can read a recording, which may be fine."""


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of many recordings.

    Attributes:
        names: names of the rows.
        vectors: (U, D), float32.
        skipped: unusable recordings with the reasons.
        has_windows: whether any embedding is a mean over windows because its recording is long.
    """

    names: list[str]
    vectors: np.ndarray
    skipped: list[Skipped]
    has_windows: bool


class Embedder:
    """Embeds recordings with an exported model and its front end. Threads may share it.

    Args:
        model_file: the exported model.
        engine: the loaded model.
        max_frames: longer recordings are embedded in windows of at most this many frames and averaged; 0: no limit. It
            does not affect models of a fixed length, which see only the start or define their own windows.

    Attributes:
        model_file, engine: as given.
        front_end: the model's.
    """

    def __init__(self, model_file: Path, engine: Engine, max_frames: int = MAX_FRAMES) -> None:
        least = 2 * engine.exported.min_frames
        if 0 < max_frames < least or max_frames < 0:
            raise UsageError(f"max_frames: expected 0 or at least {least} frames, got {max_frames}.")
        self.model_file = model_file
        self.engine = engine
        self.max_frames = max_frames
        self.front_end = front_end_of(engine.exported.front_end, str(description_path(model_file)))

    @classmethod
    def open(
        cls,
        model: PathLike,
        engine: str = AUTO,
        *,
        device_target: str = "auto",
        device_id: int = 0,
        max_frames: int = MAX_FRAMES,
        num_threads: int = 0,
    ) -> "Embedder":
        """Load a model.

        Args:
            model: name of a public model, such as "campplus_zh_en"; an exported model; or a folder that holds one.
            engine, device_target, device_id, num_threads: see `load_engine`.
            max_frames: see the class.

        Raises:
            UsageError: the engine does not exist, or `max_frames` is too small.
            InputError: the model is missing or damaged, the engine cannot run it, or its front end is unknown.
        """
        path = find_exported(model)
        return cls(path, load_engine(path, engine, device_target, device_id, num_threads), max_frames)

    @property
    def emb_size(self) -> int:
        """Embedding size, D."""
        return self.engine.exported.emb_size

    def embed(
        self, recording: Recording, sample_rate: Optional[int] = None, channel: Optional[int] = None
    ) -> np.ndarray:
        """Return the embedding (D,), float32, of a recording. It is not length-normalised.

        A file and the array of its samples get the same embedding.

        Args:
            recording: a file, a section of a file, or samples (N,) or (N, channels): floats with full scale 1, int16,
                int32 or uint8.
            sample_rate: sample rate of an array, Hz; None: the model's (`front_end.sample_rate`). Files have their own.
            channel: index of the only channel to use, from 0; None: the mean of all.

        Raises:
            UnusableRecording: the recording cannot be read, is too short, silent or clipped, has NaN, its channels
                cancel out, or it has no speech although the model takes speech only.
            UnreadRecording: the package that reads this format is not installed.
            InputError: memory runs out, the model returns NaN, or a package of its front end is not installed.
            ValueError: the array has another type or shape, or a sample rate was given with a file.
        """
        name = AN_ARRAY if isinstance(recording, np.ndarray) else str(recording)
        rows = _Rows(self.engine, 1, self.max_frames)
        for piece in self._pieces(name, recording, sample_rate, channel):
            rows.add(0, name, piece)
        return rows.finish()[0]

    def embed_many(
        self,
        recordings: Union[Iterable[PathLike], Mapping[str, Union[PathLike, Section]]],
        channel: Optional[int] = None,
        batch_size: int = BATCH_SIZE,
    ) -> Embeddings:
        """Return the embeddings of many files; unusable ones are listed in `skipped`.

        Args:
            recordings: files, which name the rows by their paths; or a mapping of row names to
                files or sections of files.
            channel: see `embed`.
            batch_size: greatest number of files of equal length in one batch. It affects rounding.

        Raises:
            InputError: memory runs out, or the model returns NaN.
        """
        if isinstance(recordings, Mapping):
            return self._embed_all(recordings.items(), channel, batch_size)
        return self._embed_all(((str(path), path) for path in recordings), channel, batch_size)

    def folder(
        self,
        folder: PathLike,
        channel: Optional[int] = None,
        batch_size: int = BATCH_SIZE,
        progress: Optional[Progress] = None,
    ) -> Embeddings:
        """Return the embeddings of all recordings below a folder, named by their paths in it.

        Args:
            channel, batch_size: see `embed_many`.
            progress: counts the recordings.

        Raises:
            InputError: the folder has no recordings; see also `embed_many`.
        """
        found = walk_audio(folder)
        if not found.names and not found.skipped:
            raise InputError(f"{folder}: expected recordings ({SUFFIX_EXAMPLES}) in this folder, found none.")
        recordings = ((name, Path(folder, name)) for name in found.names)
        made = self._embed_all(recordings, channel, batch_size, progress)
        return replace(made, skipped=[*found.skipped, *made.skipped])

    def _embed_all(
        self,
        recordings: Iterable[tuple[str, Union[PathLike, Section]]],
        channel: Optional[int],
        batch_size: int,
        progress: Optional[Progress] = None,
    ) -> Embeddings:
        names: list[str] = []
        skipped: list[Skipped] = []
        rows = _Rows(self.engine, batch_size, self.max_frames)
        for name, path in recordings:
            try:
                for piece in self._pieces(name, path, None, channel):
                    rows.add(len(names), name, piece)
            except UnusableRecording as error:
                skipped.append(Skipped(name, error.reason))
            else:
                names.append(name)
            if progress is not None:
                progress.show(1)
        return Embeddings(names, rows.finish(), skipped, rows.has_windows)

    def _pieces(
        self, name: str, recording: Recording, sample_rate: Optional[int], channel: Optional[int]
    ) -> Iterator[ModelInput]:
        """Yield the model inputs of a recording; raise UnusableRecording before the first."""
        waveform = self._waveform(name, recording, sample_rate, channel)
        least = self.front_end.num_samples(1 if self.engine.exported.num_frames else self.engine.exported.min_frames)
        if len(waveform) < least:
            rate = self.front_end.sample_rate
            raise UnusableRecording(
                name, f"too short: {len(waveform) / rate:.3f} s, the model needs at least {least / rate:.3f} s"
            )
        yield from pieces_of_waveform(self.engine.exported, self.front_end, waveform, self.max_frames)

    def read(
        self, recording: Recording, sample_rate: Optional[int] = None, channel: Optional[int] = None
    ) -> np.ndarray:
        """Return the samples (N,), float32, of a recording at the front end's rate, without checks and preparation.

        Args:
            recording, sample_rate, channel: see `embed`, which gives these samples the embedding of the recording.

        Raises:
            UnusableRecording: the recording cannot be read, or its channels cancel out.
            UnreadRecording, ValueError: see `embed`.
        """
        name = AN_ARRAY if isinstance(recording, np.ndarray) else str(recording)
        with _findings_about(name):
            return self._read(name, recording, sample_rate, channel)

    def _read(self, name: str, recording: Recording, sample_rate: Optional[int], channel: Optional[int]) -> np.ndarray:
        rate = self.front_end.sample_rate
        if isinstance(recording, np.ndarray):
            return audio_of_array(recording, rate if sample_rate is None else sample_rate, rate, channel).waveform
        if sample_rate is not None:
            raise ValueError(f"{name}: expected no sample rate, because a file has its own; got {sample_rate}.")
        section = recording if isinstance(recording, Section) else Section(recording)
        return section.read(rate, channel).waveform

    def _waveform(
        self, name: str, recording: Recording, sample_rate: Optional[int], channel: Optional[int]
    ) -> np.ndarray:
        """Return samples (N,) at the front end's rate, checked and prepared."""
        with _findings_about(name):
            waveform = self._read(name, recording, sample_rate, channel)
            DEFAULT_LIMITS.check(waveform, self.front_end.sample_rate)
            return self.front_end.prepare(waveform)


@contextmanager
def _findings_about(name: str) -> Iterator[None]:
    """Turn findings about a recording into UnusableRecording with its name."""
    try:
        yield
    except NoDecoder as error:
        raise UnreadRecording(name, error.reason) from None
    except BadAudio as error:
        advice = ": choose one of them (channel 0, 1, ...)" if error.reason == CHANNELS_CANCEL else ""
        raise UnusableRecording(name, error.reason + advice) from None


class _Rows:
    """Collects the embeddings of recordings that come in pieces: batches pieces by length, and averages each row.

    Args:
        engine: the model.
        batch_size: greatest number of pieces in a batch.
        max_frames: greatest number of frames that wait for a batch or go through the model at once; 0: MAX_FRAMES. For
            a model with its own windows, this bounds a batch of windows.
    """

    def __init__(self, engine: Engine, batch_size: int, max_frames: int) -> None:
        self._engine = engine
        self._batch_size = batch_size
        windows = engine.exported.windows
        self._max_frames = batch_size * windows.num_frames if windows is not None else max_frames or MAX_FRAMES
        self._waiting: dict[int, list[tuple[int, str, ModelInput]]] = {}  # pieces by length
        self._num_waiting = 0  # frames in self._waiting
        self._sums: dict[int, np.ndarray] = {}  # sum of embeddings weighted by frames for each row, double precision
        self._num_frames: dict[int, int] = {}  # for each row
        self._last_row = -1
        self.has_windows = False  # whether a row had more than one piece

    def add(self, row: int, name: str, piece: ModelInput) -> None:
        """Embed a piece of the recording `name` now or later; pieces of one row must come consecutively."""
        self.has_windows |= row == self._last_row
        self._last_row = row
        group = self._waiting.setdefault(len(piece.values), [])
        group.append((row, name, piece))
        self._num_waiting += piece.num_frames
        is_full = len(group) >= self._batch_size or (len(group) + 1) * piece.num_frames > self._max_frames
        if is_full:
            self._embed(len(piece.values))
        while self._num_waiting > self._max_frames:
            self._embed(next(iter(self._waiting)))

    def finish(self) -> np.ndarray:
        """Return the embeddings (U, D), float32, of rows 0, 1, ..."""
        while self._waiting:
            self._embed(next(iter(self._waiting)))
        if not self._sums:
            return np.empty((0, self._engine.exported.emb_size), np.float32)
        return np.stack([self._sums[row] / self._num_frames[row] for row in sorted(self._sums)]).astype(np.float32)

    def _embed(self, length: int) -> None:
        rows, names, pieces = zip(*self._waiting.pop(length), strict=True)
        self._num_waiting -= sum(piece.num_frames for piece in pieces)
        batch = np.stack([piece.values for piece in pieces])
        embeddings = encode_named(self._engine.encode, batch, list(names))
        for row, name, piece, embedding in zip(rows, names, pieces, embeddings, strict=True):
            if not np.isfinite(embedding).all():
                raise InputError(f"{name}: the model's embedding has NaN or infinite values.")
            self._sums[row] = self._sums.get(row, 0.0) + embedding.astype(np.float64) * piece.num_frames
            self._num_frames[row] = self._num_frames.get(row, 0) + piece.num_frames
