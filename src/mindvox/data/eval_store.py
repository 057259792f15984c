"""The evaluation store (also the cohort): features of whole utterances by name, for readers in Python and C++.

`feats.npy` holds all frames, `index.csv` which of them belong to which utterance, `meta.json` what they are; the trial
list stands beside them under its own name. `meta.json` is written last: a folder without it is no store.
"""

import hashlib
import mmap
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindvox.corpus.tree import Skipped
from mindvox.data.sources import SOURCES_FILE, Stamp, write_sources
from mindvox.data.store import WholeOrAbsent, check_feats, explain_full_disk, remove_files
from mindvox.errors import InputError
from mindvox.files import PathLike, atomic_path, read_csv, read_json, sync, write_csv, write_json

FORMAT_VERSION = 1
FEATS_FILE = "feats.npy"
INDEX_FILE = "index.csv"
META_FILE = "meta.json"
# In the order of removal; the trial list may be the user's own.
OWN_FILES = (META_FILE, FEATS_FILE, INDEX_FILE, SOURCES_FILE)
CONTENT_FILES = (FEATS_FILE, INDEX_FILE)
INDEX_HEADER = ("utt_id", "spk_id", "first_frame", "num_frames")


@dataclass(frozen=True)
class EvalStore:
    """Features of named utterances, before mean subtraction, read as they are needed.

    Args:
        folder: where the store is.
        utt_ids, spk_ids: names of the utterances and their speakers.
        first_frame, num_frames: where each utterance's frames are, (U,).
        front_end: how features were made, FrontEnd.to_dict().
        sha256: of features and index: the same content has the same wherever it lies.
        frames: all frames (sum of num_frames, F), float32, memory-mapped.
    """

    folder: Path
    utt_ids: list[str]
    spk_ids: list[str]
    first_frame: np.ndarray
    num_frames: np.ndarray
    front_end: dict[str, Any]
    sha256: str
    frames: np.ndarray

    @classmethod
    def open(cls, folder: PathLike) -> "EvalStore":
        """Open the store in a folder.

        Raises:
            InputError: there is no complete store, its files do not fit each other, or they are not those that
                meta.json names.
        """
        folder = Path(folder)
        meta = _read_meta(folder)
        utt_ids, spk_ids, num_frames = _read_index(folder / INDEX_FILE)
        ends = np.cumsum(num_frames)
        frames = _map_frames(folder / FEATS_FILE, (int(ends[-1]), meta["front_end"]["n_mels"]))
        _check_content(folder, meta)
        return cls(folder, utt_ids, spk_ids, ends - num_frames, num_frames, meta["front_end"], meta["sha256"], frames)

    def __len__(self) -> int:
        return len(self.utt_ids)

    def feats(self, row: int) -> np.ndarray:
        """Return the features (T, F) of an utterance; read-only, memory-mapped."""
        first = self.first_frame[row]
        return self.frames[first : first + self.num_frames[row]]

    def release(self) -> None:
        """Let go of the pages that were read, which count as memory of this process, until they are read again."""
        if isinstance(self.frames.base, mmap.mmap):
            self.frames.base.madvise(mmap.MADV_DONTNEED)


def _read_meta(folder: Path) -> dict[str, Any]:
    path = folder / META_FILE
    if not path.exists():
        raise InputError(f"{folder}: not a complete store: no {META_FILE}. Let eval_data_prepare.py make it.")
    meta = read_json(path)
    try:
        version, _, _ = meta["format_version"], meta["sha256"], meta["front_end"]["n_mels"]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not the description of a store ({error}). Prepare it anew.") from None
    if version != FORMAT_VERSION:
        raise InputError(f"{path}: expected format_version {FORMAT_VERSION}, got {version}. Prepare it anew.")
    return meta


def _read_index(path: Path) -> tuple[list[str], list[str], np.ndarray]:
    rows = read_csv(path, INDEX_HEADER)
    next_frame = 0
    for line_no, (_, _, first, count) in enumerate(rows, 2):
        if first != str(next_frame) or not count.isdecimal() or int(count) < 1:
            raise InputError(
                f"{path}:{line_no}: expected first_frame {next_frame} and num_frames >= 1, got {first} and {count}."
            )
        next_frame += int(count)
    if not rows:
        raise InputError(f"{path}: no utterances in it. Prepare it anew.")
    return [row[0] for row in rows], [row[1] for row in rows], np.array([int(row[3]) for row in rows])


def _map_frames(path: Path, shape: tuple[int, int]) -> np.ndarray:
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. Copy the whole folder again or prepare it anew.") from None
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: damaged ({error}). Copy it again or prepare it anew.") from None
    if frames.shape != shape or frames.dtype != np.float32:
        raise InputError(
            f"{path}: {INDEX_FILE} and {META_FILE} expect float32 {shape}, got {frames.dtype} {frames.shape}. "
            "Copy the whole folder again or prepare it anew."
        )
    return frames


def _check_content(folder: Path, meta: Mapping[str, Any]) -> None:
    """Raise InputError when features or index were replaced; they are read only when their size or time is another."""
    files = _sizes_and_times(folder)
    if meta.get("files") == files:
        return
    if content_sha256(folder) != meta["sha256"]:
        raise InputError(
            f"{folder}: {FEATS_FILE} and {INDEX_FILE} are not the content that {META_FILE} names: they are damaged or "
            "were replaced. Copy the whole folder again or prepare it anew."
        )
    if os.access(folder, os.W_OK):  # a store on a read-only disk is read each time
        write_json(folder / META_FILE, {**meta, "files": files})


def _sizes_and_times(folder: Path) -> dict[str, dict[str, int]]:
    stats = {name: (folder / name).stat() for name in CONTENT_FILES}
    return {name: {"num_bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns} for name, stat in stats.items()}


class EvalStoreWriter(WholeOrAbsent):
    """Write an evaluation store; the end of a `with` block completes it, an exception removes what was written.

    Args:
        folder: made when absent; leftovers of an interrupted run in it are removed.
        front_end: how features are made, FrontEnd.to_dict().
        trial_list: copied into the store under its own name.
        settings: what else the content follows from, JSON values.
    """

    def __init__(
        self,
        folder: PathLike,
        front_end: Mapping[str, Any],
        trial_list: Optional[PathLike] = None,
        settings: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self.folder = Path(folder)
        self.front_end = dict(front_end)
        self.settings = dict(settings or {})
        self.trial_list = None if trial_list is None else Path(trial_list)
        self.skipped: list[Skipped] = []
        self.sources: dict[str, Stamp] = {}
        self._rows: list[tuple[str, str, int, int]] = []
        self._names: set[str] = set()
        self._num_frames = 0

    def __enter__(self) -> "EvalStoreWriter":
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_files(self.folder, OWN_FILES)
        self._stream = open(self.folder / FEATS_FILE, "wb")  # closed by __exit__
        self._write_header()
        return self

    def add(self, utt_id: str, spk_id: str, feats: np.ndarray) -> None:
        """Append an utterance.

        Args:
            feats: (T, F), T >= 1, float32, finite, before mean subtraction.
        """
        check_feats(utt_id, feats, self.front_end["n_mels"])
        if utt_id in self._names:
            raise ValueError(f"{utt_id}: an utterance stands once in a store.")
        with explain_full_disk(self.folder):
            self._stream.write(np.ascontiguousarray(feats).data)
        self._rows.append((utt_id, spk_id, self._num_frames, len(feats)))
        self._names.add(utt_id)
        self._num_frames += len(feats)

    def _write_header(self) -> None:
        shape = (self._num_frames, self.front_end["n_mels"])
        np.lib.format.write_array_header_1_0(self._stream, {"descr": "<f4", "fortran_order": False, "shape": shape})

    def _finish(self) -> None:
        if not self._rows:
            raise InputError(f"{self.folder}: nothing to store: there is no usable utterance.")
        with explain_full_disk(self.folder):
            self._stream.seek(0)
            self._write_header()  # as long as the first: NumPy leaves room in it for the number of frames to grow
            self._stream.close()
            sync(self.folder / FEATS_FILE)
            write_csv(self.folder / INDEX_FILE, INDEX_HEADER, self._rows)
            write_sources(self.folder / SOURCES_FILE, self.sources)
            meta = {
                "format_version": FORMAT_VERSION,
                "front_end": self.front_end,
                "num_frames": self._num_frames,
                "num_utterances": len(self._rows),
                "settings": self.settings,
                "files": _sizes_and_times(self.folder),
                "sha256": content_sha256(self.folder),
                "skipped": [entry._asdict() for entry in self.skipped],
            }
            if self.trial_list is not None:
                meta["trial_list"] = self.trial_list.name
                with atomic_path(self.folder / self.trial_list.name) as temporary:
                    shutil.copyfile(self.trial_list, temporary)
            write_json(self.folder / META_FILE, meta)

    def _abandon(self) -> None:
        with suppress(OSError):  # what is still buffered may not fit the disk either
            self._stream.close()
        remove_files(self.folder, OWN_FILES)


def content_sha256(folder: Path) -> str:
    """Return the SHA-256 of feats.npy followed by index.csv."""
    digest = hashlib.sha256()
    for name in CONTENT_FILES:
        with open(folder / name, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
