"""Exact search among millions of unit vectors: faiss searches 8-bit codes in memory-mapped files.

A code is a vector whose numbers, times `scale`, are rounded to integers from -127 to 127. A query is rounded likewise.
Their product is off by at most the lengths of the two rounding errors; `error` is the largest length of a code's. So
the codes tell which speakers may be among the best k (`could_be_best`). The vectors of these are read in single
precision from the store and compared in double precision.

    speakers.db-codes-<number>-<part>.faiss   codes of PART_ROWS speakers, in ascending order of their keys
    speakers.db-codes-<number>.npy            the keys
    speakers.db-codes-<number>.json           scale, error, number of parts; written last: without it the set is
                                              unfinished

<number> is the audit entry up to which the codes are complete. Later changes are held in memory as vectors; when there
are too many, the files are rebuilt. The code of a deleted or changed speaker is overwritten in place, and every process
that has mapped the file sees the change.
"""

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from mindvox.files import atomic_path, read_json, sync, write_json
from mindvox.parallel import num_cores
from mindvox.speakers.search import Hits, Vectors, best, could_be_best

FORMAT_VERSION = 2
PART_ROWS = 1 << 16  # speakers per part; threads share a query part by part
LARGEST = 127  # number of a code
ZERO = 128  # byte of the number 0; overwrites each byte of an erased code
SPARE = 128  # candidates requested beyond k at once
FEW_ALLOWED = 20_000  # up to this many allowed speakers are compared without codes
CHANGED_SHARE = 0.05  # share of changed speakers beyond which the codes are rebuilt
LEAST_CHANGED = 10_000  # fewer changed speakers never cause a rebuild

Fetch = Callable[[Sequence[int]], tuple[np.ndarray, np.ndarray]]
"""Takes keys; returns those that exist (N,), in any order, and their vectors (N, D)."""
Chunks = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]
"""Returns keys (N,) and vectors (N, D) of all speakers in chunks, in ascending order of keys; called twice."""


def is_installed() -> bool:
    """Tell whether faiss is installed."""
    return find_spec("faiss") is not None


class CodeFiles:
    """The files of one set of codes.

    Args:
        store: the file of the store.
        number: the audit entry up to which the codes are complete.
    """

    def __init__(self, store: Path, number: int) -> None:
        self.number = number
        self._stem = f"{store.name}-codes-{number}"
        self._folder = store.parent

    @property
    def about(self) -> Path:
        """The description; the set is valid once it exists."""
        return self._folder / f"{self._stem}.json"

    @property
    def keys(self) -> Path:
        """The keys of all rows."""
        return self._folder / f"{self._stem}.npy"

    def part(self, number: int) -> Path:
        """The file with the codes of a part."""
        return self._folder / f"{self._stem}-{number}.faiss"

    @classmethod
    def all_of(cls, store: Path) -> "list[CodeFiles]":
        """Return all sets of codes of a store, finished or not, newest first."""
        pattern = re.compile(re.escape(f"{store.name}-codes-") + r"(\d+)[-.].*")
        numbers = {int(match[1]) for match in map(pattern.fullmatch, os.listdir(store.parent)) if match}
        return [cls(store, number) for number in sorted(numbers, reverse=True)]

    @property
    def is_finished(self) -> bool:
        """Whether the description exists."""
        return self.about.is_file()

    def remove_unfinished(self) -> None:
        """Remove the files if the set is unfinished; no other process may be writing it."""
        if not self.is_finished:
            self.remove()

    def remove(self) -> None:
        """Remove the files; the description first."""
        self.about.unlink(missing_ok=True)
        for path in self._folder.glob(f"{self._stem}[-.]*"):
            with suppress(PermissionError):  # Windows: another process has mapped it, and removes it later
                path.unlink(missing_ok=True)

    def erase(self, keys: Iterable[int]) -> None:
        """Overwrite the codes of speakers; keys without a code are ignored.

        An unfinished set is left alone: the process that writes it erases deleted speakers afterwards.
        """
        if not self.is_finished:
            return
        try:
            emb_size = read_json(self.about)["emb_size"]
            known = np.load(self.keys, mmap_mode="r", allow_pickle=False)
            wanted = set(keys)
            rows = [row for row in map(int, np.searchsorted(known, sorted(wanted))) if row < len(known)]
            for part in range(-(-len(known) // PART_ROWS)):
                mine = [row for row in rows if row // PART_ROWS == part and int(known[row]) in wanted]
                if mine:
                    self._overwrite(part, mine, len(known), emb_size)
        except (OSError, ValueError, KeyError):  # damaged, or just replaced by a newer set
            self.remove()

    def _overwrite(self, part: int, rows: list[int], num_rows: int, emb_size: int) -> None:
        in_part = min(PART_ROWS, num_rows - part * PART_ROWS)
        nothing = bytes([ZERO]) * emb_size
        is_changed = False
        with open(self.part(part), "r+b") as stream:
            first = stream.seek(0, os.SEEK_END) - in_part * emb_size  # faiss writes the codes last
            for row in rows:
                place = first + (row - part * PART_ROWS) * emb_size
                stream.seek(place)
                if stream.read(emb_size) != nothing:
                    stream.seek(place)
                    stream.write(nothing)
                    is_changed = True
        if is_changed:
            sync(self.part(part))


def write_codes(files: CodeFiles, emb_size: int, chunks: Chunks) -> None:
    """Write the codes of all speakers."""
    import faiss

    largest, num_rows = 0.0, 0
    for keys, vectors in chunks():
        largest, num_rows = max(largest, float(np.abs(vectors).max())), num_rows + len(keys)
    all_keys = np.empty(num_rows, np.int64)
    scale = np.float32(LARGEST / (largest or 1.0))
    error, first, part, index = 0.0, 0, 0, _empty_index(emb_size)
    for keys, vectors in _of_parts(chunks()):
        numbers, errors = _rounded(vectors, scale)
        error = max(error, float(errors.max()))
        index.add(numbers)
        all_keys[first : first + len(keys)] = keys
        first += len(keys)
        if index.ntotal == PART_ROWS or first == num_rows:
            with atomic_path(files.part(part)) as temporary:
                faiss.write_index(index, str(temporary))
            _hide(files.part(part))
            part, index = part + 1, _empty_index(emb_size)
    with atomic_path(files.keys) as temporary:
        np.save(temporary, all_keys)
    _hide(files.keys)
    about = {"format_version": FORMAT_VERSION, "emb_size": emb_size, "scale": float(scale)}
    write_json(files.about, {**about, "error": error, "num_parts": part})


def _hide(path: Path) -> None:
    """Make a file readable by its owner only, like the store's file."""
    path.chmod(0o600)


def _of_parts(chunks: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Split chunks at the ends of parts."""
    free = PART_ROWS  # free rows of the current part
    for keys, vectors in chunks:
        while len(keys):
            yield keys[:free], vectors[:free]
            taken = min(free, len(keys))
            keys, vectors = keys[taken:], vectors[taken:]
            free = free - taken or PART_ROWS


def _rounded(vectors: np.ndarray, scale: Union[np.ndarray, np.float32]) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors (N, D) times `scale`, rounded to integers, float32, and the lengths (N,) of the errors."""
    numbers = np.rint(vectors * scale)
    return numbers.astype(np.float32), np.linalg.norm(numbers / scale - vectors, axis=1)


def _empty_index(emb_size: int) -> Any:
    """Return an empty faiss index of integers from -128 to 127, whose products faiss computes with integers."""
    import faiss

    return faiss.IndexScalarQuantizer(emb_size, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT)


class CodedVectors:
    """Unit vectors by key, as codes in files; later vectors are in memory. The interface is that of Vectors.

    Args:
        files: a finished set of codes.
        emb_size: D.
        fetch: reads vectors from the store.

    Raises:
        OSError, ValueError, KeyError, RuntimeError: the files are damaged, or in another format.
    """

    def __init__(self, files: CodeFiles, emb_size: int, fetch: Fetch) -> None:
        import faiss

        about = read_json(files.about)
        if about["format_version"] != FORMAT_VERSION:
            raise ValueError(f"{files.about}: format {about['format_version']}.")
        self._files = files
        self._fetch = fetch
        self._keys = np.load(files.keys, mmap_mode="r", allow_pickle=False)
        parts = range(about["num_parts"])
        self._parts = [faiss.read_index(str(files.part(part)), faiss.IO_FLAG_MMAP_IFC) for part in parts]
        self._scale = about["scale"]
        self._error = about["error"] + (emb_size + 4) * 2.0**-23  # error of the codes plus that of single precision
        self._is_gone = np.zeros(len(self._keys), bool)
        self._num_gone = 0
        self._recent = Vectors(emb_size)
        self._threads = ThreadPoolExecutor(num_cores()) if len(self._parts) > 1 else None

    def __len__(self) -> int:
        return len(self._keys) - self._num_gone + len(self._recent)

    @property
    def keys(self) -> np.ndarray:
        """The keys, in no particular order."""
        return np.concatenate([self._keys[~self._is_gone], self._recent.keys])

    @property
    def is_outdated(self) -> bool:
        """Whether enough has changed that the codes should be rebuilt."""
        changed = self._num_gone + len(self._recent)
        return changed > max(LEAST_CHANGED, CHANGED_SHARE * len(self._keys))

    def vectors(self, keys: np.ndarray) -> np.ndarray:
        """Return the vectors (N, D) of existing keys."""
        found, vectors = self._fetch(keys.tolist())
        place = {key: row for row, key in enumerate(found.tolist())}
        return vectors[[place[key] for key in keys.tolist()]]

    def put_all(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        """Store unit vectors (N, D) under new keys."""
        self._recent.put_all(keys, vectors)

    def remove_all(self, keys: Iterable[int]) -> None:
        """Remove keys and overwrite their codes; unknown keys are ignored."""
        keys = list(keys)
        self._recent.remove_all(keys)
        rows = np.searchsorted(self._keys, keys)
        rows = rows[(rows < len(self._keys)) & (self._keys[np.minimum(rows, len(self._keys) - 1)] == keys)]
        new = rows[~self._is_gone[rows]]
        if len(new):
            self._is_gone[new] = True
            self._num_gone = int(self._is_gone.sum())
            self._files.erase(self._keys[new].tolist())

    def search(self, queries: np.ndarray, k: int, allowed: Optional[Collection[int]] = None) -> list[Hits]:
        """See `Vectors.search`."""
        if allowed is not None and len(allowed) <= FEW_ALLOWED:
            few = Vectors(queries.shape[1])
            few.put_all(*self._fetch(list(allowed)))
            return few.search(queries, k)
        is_open = ~self._is_gone
        if allowed is not None:
            is_open &= np.isin(self._keys, list(allowed))
        recent = self._recent.search(queries, k, allowed)
        return [
            sorted(old + new, key=lambda hit: (-hit[1], hit[0]))[:k]
            for old, new in zip(self._search_codes(queries, k, is_open), recent, strict=True)
        ]

    def _search_codes(self, queries: np.ndarray, k: int, is_open: np.ndarray) -> Iterator[Hits]:
        wanted = k + SPARE
        for query, scores, rows, error in zip(queries, *self._nearest(queries, wanted), strict=True):
            near = _complete(scores, rows, is_open, k, error)
            more = wanted
            while near is None:
                more = min(8 * more, len(self._keys))
                ((scores,), (rows,), _) = self._nearest(query[None], more)
                near = _complete(scores, rows, is_open, k, error, more == len(self._keys))
            keys, vectors = self._fetch(self._keys[near].tolist())
            yield best(keys, vectors, query, k)

    def _nearest(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the largest products of the codes with each query.

        Returns:
            scores and rows, both (Q, count), best first; how far the scores of each query can be off, (Q,).
        """
        scale = LARGEST / np.abs(queries).max(axis=1, keepdims=True)
        numbers, errors = _rounded(queries, scale)

        def search(number: int) -> tuple[np.ndarray, np.ndarray]:
            part = self._parts[number]
            scores, rows = part.search(numbers, min(count, part.ntotal))
            return scores, rows + number * PART_ROWS

        # faiss shares several queries among threads, but does not split a single one.
        is_single = len(numbers) == 1 and self._threads is not None
        call = self._threads.map if is_single and self._threads is not None else map
        found = list(call(search, range(len(self._parts))))
        scores, rows = (np.concatenate(arrays, axis=1) for arrays in zip(*found, strict=True))
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        scores = np.take_along_axis(scores, order, axis=1) / (self._scale * scale)
        return scores, np.take_along_axis(rows, order, axis=1), errors + self._error * (1 + errors)


def _complete(
    scores: np.ndarray, rows: np.ndarray, is_open: np.ndarray, k: int, error: float, is_all: bool = False
) -> Optional[np.ndarray]:
    """Return the rows that may be among the best k; None: rows that were not found may be among them, too.

    Args:
        scores: the best scores that were found, (N,), best first.
        rows: their rows, (N,).
        is_open: whether each row of the codes may be returned.
        k: the number of speakers wanted.
        error: how far a score may be off.
        is_all: whether the scores are those of all rows.
    """
    kept = is_open[rows]
    near = rows[kept][could_be_best(scores[kept], k, error)]
    if is_all or len(rows) == len(is_open):
        return near
    if kept.sum() < k or scores[-1] >= scores[kept][k - 1] - 2 * error:
        return None
    return near
