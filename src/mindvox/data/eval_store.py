"""The evaluation store (also used for the cohort): features or samples of utterances by name.

`feats.npy` holds all frames or `wave.npy` all samples; `index.csv` gives the position of each utterance; `meta.json`
describes them. The trial list is beside them under its own name. `meta.json` is written last: a folder without it is
not a store. The C++ program reads both kinds.
"""

import hashlib
import mmap
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from mindvox.corpus.audio import SAMPLE_RATE, BadAudio, from_int16
from mindvox.corpus.table_io import write_skipped
from mindvox.corpus.tree import Skipped
from mindvox.data.sources import SOURCES_FILE, Stamp, write_sources
from mindvox.data.store import SKIPPED_FILE, WholeOrAbsent, check_feats, check_wave, explain_full_disk, remove_files
from mindvox.errors import InputError
from mindvox.files import PathLike, atomic_path, read_csv, read_json, sync, write_csv, write_json
from mindvox.frontend import FrontEnd, check_front_end, front_end_of
from mindvox.lru import ArrayCache

FORMAT_VERSION = 1
FEATS_FILE = "feats.npy"
WAVE_FILE = "wave.npy"
INDEX_FILE = "index.csv"
META_FILE = "meta.json"
# In the order of removal. The trial list is not among them, because it may be the user's.
OWN_FILES = (META_FILE, FEATS_FILE, WAVE_FILE, INDEX_FILE, SOURCES_FILE, SKIPPED_FILE)
INDEX_HEADER = ("utt_id", "spk_id", "first_frame", "num_frames")
WAVE_INDEX_HEADER = ("utt_id", "spk_id", "first_sample", "num_samples")
CACHE_BYTES = 1 << 24  # of computed features, because windows and crops of one utterance are read consecutively


class StoreContent(NamedTuple):
    """The content of a store's folder.

    Attributes:
        utt_ids, spk_ids: names of the utterances and their speakers.
        first, length: position of each utterance's frames or samples, (U,).
        front_end: how the features were computed; None: the store holds samples.
        sha256: hash of content and index, independent of the location.
        content: all frames (sum of length, F), float32, or all samples (sum of length,), int16; memory-mapped.
    """

    utt_ids: list[str]
    spk_ids: list[str]
    first: np.ndarray
    length: np.ndarray
    front_end: Optional[dict[str, Any]]
    sha256: str
    content: np.ndarray

    def of_utterance(self, row: int) -> np.ndarray:
        """Return the frames or samples of an utterance; read-only, memory-mapped."""
        return self.content[self.first[row] : self.first[row] + self.length[row]]


def read_store(folder: PathLike) -> StoreContent:
    """Read a store.

    Raises:
        InputError: there is no complete store, its files do not fit each other, or they differ from those that
            meta.json describes.
    """
    folder = Path(folder)
    meta = _read_meta(folder)
    stored = meta["front_end"]
    header = WAVE_INDEX_HEADER if stored is None else INDEX_HEADER
    utt_ids, spk_ids, length = _read_index(folder / INDEX_FILE, header)
    ends = np.cumsum(length)
    if stored is None:
        content = _map_content(folder / WAVE_FILE, (int(ends[-1]),), np.dtype("<i2"))
    else:
        size = front_end_of(stored, folder / META_FILE).size
        content = _map_content(folder / FEATS_FILE, (int(ends[-1]), size), np.dtype("<f4"))
    _check_content(folder, meta)
    return StoreContent(utt_ids, spk_ids, ends - length, length, stored, meta["sha256"], content)


@dataclass(frozen=True)
class EvalStore:
    """Features of named utterances, before `FrontEnd.finish`, read as they are needed.

    folder: folder of the store.
    utt_ids, spk_ids: names of the utterances and their speakers.
    num_frames: number of frames of each utterance, (U,).
    front_end: how the features are computed, FrontEnd.to_dict().
    sha256: hash of the store's content and index, independent of the location.
    """

    folder: Path
    utt_ids: list[str]
    spk_ids: list[str]
    num_frames: np.ndarray
    front_end: dict[str, Any]
    sha256: str

    @classmethod
    def open(cls, folder: PathLike, front_end: Optional[Mapping[str, Any]] = None) -> "EvalStore":
        """Open the store in a folder.

        Args:
            folder: folder of the store.
            front_end: front end of the model that reads the store. It is required for a store of samples, whose
                features are then computed. A store of features must match it; None: accept features of any front end.

        Raises:
            InputError: see `read_store`; or the store has no features of this front end.
        """
        stored = read_store(folder)
        if stored.front_end is None:
            if front_end is None:
                raise InputError(f"{folder}: holds waveforms, a store of features is needed: store_kind: features.")
            return ComputedFeatures.of(Path(folder), stored, front_end_of(front_end))
        if front_end is not None:
            check_front_end(front_end, stored.front_end, folder)
        names = (Path(folder), stored.utt_ids, stored.spk_ids)
        return StoredFeatures(*names, stored.length, stored.front_end, stored.sha256, stored.first, stored.content)

    def __len__(self) -> int:
        return len(self.utt_ids)

    def feats(self, row: int) -> np.ndarray:
        """Return the features (T, F) of an utterance; read-only."""
        raise NotImplementedError

    @property
    def holds_waveforms(self) -> bool:
        """Whether the store holds samples, so that features of parts of a waveform can be computed."""
        return False

    def waveform(self, row: int) -> np.ndarray:
        """Return the samples (N,) of an utterance, float32, full scale 1, prepared by the front end."""
        raise InputError(f"{self.folder}: holds features, waveforms are needed: store_kind: waveform.")

    def features_of(self, waveform: np.ndarray) -> np.ndarray:
        """Return the features (T, F) of a part of a waveform from `waveform`."""
        return front_end_of(self.front_end)(waveform)

    def release(self) -> None:
        """Release memory pages of the mapped file, which count as memory of this process, until they are read again."""
        raise NotImplementedError


@dataclass(frozen=True)
class StoredFeatures(EvalStore):
    """A store of features.

    Attributes:
        first_frame: index of each utterance's first frame, (U,).
        frames: all frames (sum of num_frames, F), float32, memory-mapped.
    """

    first_frame: np.ndarray
    frames: np.ndarray

    def feats(self, row: int) -> np.ndarray:
        first = self.first_frame[row]
        return self.frames[first : first + self.num_frames[row]]

    def release(self) -> None:
        _release(self.frames)


@dataclass(frozen=True)
class ComputedFeatures(EvalStore):
    """A store of samples; features are computed when they are read, and the most recent are cached.

    Attributes:
        stored: the stored samples.
        computing: the front end that computes the features.
    """

    stored: StoreContent
    computing: FrontEnd
    _cache: ArrayCache = field(default_factory=lambda: ArrayCache(CACHE_BYTES), repr=False, compare=False)

    @classmethod
    def of(cls, folder: Path, stored: StoreContent, front_end: FrontEnd) -> "ComputedFeatures":
        """Return the features of a front end.

        A front end that prepares recordings does so here already, because their lengths are known only afterwards.

        Raises:
            InputError: the front end needs another sample rate, an utterance is shorter than a frame or has no speech,
                or a package of the front end is not installed.
        """
        if front_end.sample_rate != SAMPLE_RATE:
            raise InputError(f"{folder}: holds waveforms at {SAMPLE_RATE} Hz, the model takes {front_end.sample_rate}.")
        lengths = _prepared_lengths(folder, stored, front_end) if front_end.prepares else stored.length
        num_frames = np.array([front_end.num_frames(int(length)) for length in lengths])
        if not num_frames.all():
            shortest = int(np.argmin(num_frames))
            raise InputError(
                f"{folder}: {stored.utt_ids[shortest]}: {lengths[shortest]} samples are shorter than a frame of "
                f"{front_end.name}. Leave the utterance out."
            )
        names = (folder, stored.utt_ids, stored.spk_ids)
        return cls(*names, num_frames, front_end.to_dict(), stored.sha256, stored, front_end)

    @property
    def holds_waveforms(self) -> bool:
        return True

    def feats(self, row: int) -> np.ndarray:
        return self._cache.get(row, lambda: self.computing(self.waveform(row)))

    def waveform(self, row: int) -> np.ndarray:
        return _prepared(self.stored, row, self.computing)

    def features_of(self, waveform: np.ndarray) -> np.ndarray:
        return self.computing(waveform)

    def release(self) -> None:
        _release(self.stored.content)


def _prepared(stored: StoreContent, row: int, front_end: FrontEnd) -> np.ndarray:
    return front_end.prepare(from_int16(stored.of_utterance(row)))


def _prepared_lengths(folder: Path, stored: StoreContent, front_end: FrontEnd) -> list[int]:
    """Return the number of samples of each utterance after preparation."""
    lengths = []
    for row, utt_id in enumerate(stored.utt_ids):
        try:
            lengths.append(len(_prepared(stored, row, front_end)))
        except BadAudio as error:
            raise InputError(f"{folder}: {utt_id}: {error.reason}. Leave the utterance out.") from None
    return lengths


def _release(content: np.ndarray) -> None:
    if isinstance(content.base, mmap.mmap):
        content.base.madvise(mmap.MADV_DONTNEED)


def _read_meta(folder: Path) -> dict[str, Any]:
    path = folder / META_FILE
    if not path.exists():
        raise InputError(f"{folder}: not a complete store: no {META_FILE}. Let eval_data_prepare.py make it.")
    meta = read_json(path)
    try:
        version, _, stored = meta["format_version"], meta["sha256"], meta["front_end"]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not the description of a store ({error}). Prepare it again.") from None
    if version != FORMAT_VERSION:
        raise InputError(f"{path}: expected format_version {FORMAT_VERSION}, got {version}. Prepare it again.")
    if stored is not None and not isinstance(stored, dict):
        raise InputError(f"{path}: not the description of a store (front_end). Prepare it again.")
    return meta


def _read_index(path: Path, header: tuple[str, ...]) -> tuple[list[str], list[str], np.ndarray]:
    rows = read_csv(path, header)
    _, _, first_name, count_name = header
    expected = 0
    for line_no, (_, _, first, count) in enumerate(rows, 2):
        if first != str(expected) or not count.isdecimal() or int(count) < 1:
            raise InputError(
                f"{path}:{line_no}: expected {first_name} {expected} and {count_name} >= 1, got {first} and {count}."
            )
        expected += int(count)
    if not rows:
        raise InputError(f"{path}: no utterances in it. Prepare it again.")
    return [row[0] for row in rows], [row[1] for row in rows], np.array([int(row[3]) for row in rows])


def _map_content(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    try:
        content = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. Copy the whole folder again or prepare it again.") from None
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: damaged ({error}). Copy it again or prepare it again.") from None
    if content.shape != shape or content.dtype != dtype:
        raise InputError(
            f"{path}: {INDEX_FILE} and {META_FILE} expect {dtype} {shape}, got {content.dtype} {content.shape}. "
            "Copy the whole folder again or prepare it again."
        )
    return content


def _check_content(folder: Path, meta: Mapping[str, Any]) -> None:
    """Raise InputError if content or index were replaced; they are read only if their size or time changed."""
    files = _sizes_and_times(folder, content_files(meta["front_end"]))
    if meta.get("files") == files:
        return
    names = content_files(meta["front_end"])
    if content_sha256(folder, names) != meta["sha256"]:
        raise InputError(
            f"{folder}: {' and '.join(names)} are not the content that {META_FILE} names: they are damaged or "
            "were replaced. Copy the whole folder again or prepare it again."
        )
    if os.access(folder, os.W_OK):  # without write access, the content is read each time
        write_json(folder / META_FILE, {**meta, "files": files})


def content_files(front_end: Optional[Mapping[str, Any]]) -> tuple[str, str]:
    """Return the names of the files with a store's content; without a front end it holds samples."""
    return (WAVE_FILE if front_end is None else FEATS_FILE), INDEX_FILE


def _sizes_and_times(folder: Path, names: Sequence[str]) -> dict[str, dict[str, int]]:
    stats = {name: (folder / name).stat() for name in names}
    return {name: {"num_bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns} for name, stat in stats.items()}


class EvalStoreWriter(WholeOrAbsent):
    """Write an evaluation store; the end of a `with` block completes it, an exception removes what was written.

    Args:
        folder: created if missing; leftovers of an interrupted run are removed.
        front_end: how the features are computed, FrontEnd.to_dict(); None: store samples.
        trial_list: copied into the store under its own name.
        settings: further settings that decide the content, JSON values.
    """

    def __init__(
        self,
        folder: PathLike,
        front_end: Optional[Mapping[str, Any]],
        trial_list: Optional[PathLike] = None,
        settings: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self.folder = Path(folder)
        self.front_end = None if front_end is None else dict(front_end)
        self.size = None if front_end is None else front_end_of(front_end, folder).size
        self.settings = dict(settings or {})
        self.trial_list = None if trial_list is None else Path(trial_list)
        self.skipped: list[Skipped] = []
        self.sources: dict[str, Stamp] = {}
        self._rows: list[tuple[str, str, int, int]] = []
        self._names: set[str] = set()
        self._length = 0

    def __enter__(self) -> "EvalStoreWriter":
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_files(self.folder, OWN_FILES)
        self._stream = open(self.folder / content_files(self.front_end)[0], "wb")  # closed by __exit__
        self._write_header()
        return self

    def add(self, utt_id: str, spk_id: str, content: np.ndarray) -> None:
        """Append an utterance.

        Args:
            content: features (T, F), T >= 1, float32, finite, before mean subtraction; or samples (N,), N >= 1, int16.
        """
        if self.size is None:
            check_wave(utt_id, content)
        else:
            check_feats(utt_id, content, self.size)
        if utt_id in self._names:
            raise ValueError(f"{utt_id}: expected each utterance once in a store.")
        with explain_full_disk(self.folder):
            self._stream.write(np.ascontiguousarray(content).data)
        self._rows.append((utt_id, spk_id, self._length, len(content)))
        self._names.add(utt_id)
        self._length += len(content)

    def _write_header(self) -> None:
        kind, shape = ("<i2", (self._length,)) if self.size is None else ("<f4", (self._length, self.size))
        np.lib.format.write_array_header_1_0(self._stream, {"descr": kind, "fortran_order": False, "shape": shape})

    def _finish(self) -> None:
        if not self._rows:
            raise InputError(f"{self.folder}: nothing to store: there is no usable utterance.")
        with explain_full_disk(self.folder):
            self._stream.seek(0)
            self._write_header()  # as long as the first header: NumPy reserves room for the length to grow
            self._stream.close()
            names = content_files(self.front_end)
            sync(self.folder / names[0])
            write_csv(self.folder / INDEX_FILE, WAVE_INDEX_HEADER if self.size is None else INDEX_HEADER, self._rows)
            write_sources(self.folder / SOURCES_FILE, self.sources)
            meta = {
                "format_version": FORMAT_VERSION,
                "front_end": self.front_end,
                "num_samples" if self.size is None else "num_frames": self._length,
                "num_utterances": len(self._rows),
                "settings": self.settings,
                "files": _sizes_and_times(self.folder, names),
                "sha256": content_sha256(self.folder, names),
                "skipped": [entry._asdict() for entry in self.skipped],
            }
            if self.trial_list is not None:
                meta["trial_list"] = self.trial_list.name
                with atomic_path(self.folder / self.trial_list.name) as temporary:
                    shutil.copyfile(self.trial_list, temporary)
            if self.skipped:
                write_skipped(self.folder / SKIPPED_FILE, self.skipped)
            write_json(self.folder / META_FILE, meta)

    def _abandon(self) -> None:
        with suppress(OSError):  # the disk may also be too full for what is still buffered
            self._stream.close()
        remove_files(self.folder, OWN_FILES)


def content_sha256(folder: Path, names: Sequence[str] = (FEATS_FILE, INDEX_FILE)) -> str:
    """Return the SHA-256 over the concatenated content files of a store; see `content_files`."""
    digest = hashlib.sha256()
    for name in names:
        with open(folder / name, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
