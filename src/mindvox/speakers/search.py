"""Exact search among unit vectors that are held in memory."""

from collections.abc import Collection, Iterable
from typing import Optional

import numpy as np

BLOCK_SCORES = 1 << 24  # most scores computed at once: 64 MB
FIRST_ROWS = 1024
Hits = list[tuple[int, float]]


class Vectors:
    """Unit vectors by key, and the exact search among them.

    Scores are computed in single precision first. Those that could be among the best k, given how far rounding can
    shift a score, are recomputed in double precision. So the answer does not depend on the linear algebra library.

    Args:
        emb_size: D.
    """

    is_outdated = False  # see CodedVectors

    def __init__(self, emb_size: int) -> None:
        self._vectors = np.empty((FIRST_ROWS, emb_size), np.float32)
        self._keys = np.empty(FIRST_ROWS, np.int64)
        self._row_of: dict[int, int] = {}
        self._rounding = rounding_of(emb_size)

    def __len__(self) -> int:
        return len(self._row_of)

    @property
    def keys(self) -> np.ndarray:
        """The keys, in no particular order."""
        return self._keys[: len(self)]

    def vectors(self, keys: np.ndarray) -> np.ndarray:
        """Return the vectors (N, D) of existing keys."""
        return self._vectors[[self._row_of[key] for key in keys.tolist()]]

    def put_all(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        """Store unit vectors (N, D) under new keys."""
        first, after = len(self), len(self) + len(keys)
        if after > len(self._keys):
            capacity = max(after, 2 * len(self._keys))
            self._vectors = _grown(self._vectors, first, capacity)
            self._keys = _grown(self._keys, first, capacity)
        self._vectors[first:after], self._keys[first:after] = vectors, keys
        self._row_of.update(zip(keys.tolist(), range(first, after), strict=True))

    def remove_all(self, keys: Iterable[int]) -> None:
        """Remove keys; unknown keys are ignored."""
        for key in keys:
            self._remove(key)

    def _remove(self, key: int) -> None:
        """Remove a key; the last row moves into its row."""
        row = self._row_of.pop(key, None)
        if row is None:
            return
        last = len(self._row_of)
        if row != last:
            self._vectors[row], self._keys[row] = self._vectors[last], self._keys[last]
            self._row_of[int(self._keys[row])] = row
        self._vectors[last] = 0

    def search(self, queries: np.ndarray, k: int, allowed: Optional[Collection[int]] = None) -> list[Hits]:
        """Return the k keys with the largest products with each query, best first; ties by the lower key.

        Args:
            queries: (Q, D), each of length 1, float64.
            k: at least 1.
            allowed: only these keys; None: all.
        """
        rows = None
        if allowed is not None:
            rows = np.array(sorted(self._row_of[key] for key in allowed if key in self._row_of), np.int64)
        num_rows = len(self) if rows is None else len(rows)
        if num_rows == 0:
            return [[] for _ in queries]
        vectors = self._vectors[: len(self)] if rows is None else self._vectors[rows]
        keys = self._keys[: len(self)] if rows is None else self._keys[rows]
        found: list[Hits] = []
        step = max(1, BLOCK_SCORES // num_rows)
        for first in range(0, len(queries), step):
            block = queries[first : first + step]
            for query, scores in zip(block, block.astype(np.float32) @ vectors.T, strict=True):
                near = could_be_best(scores, k, self._rounding)
                found.append(best(keys[near], vectors[near], query, k))
        return found


def rounding_of(emb_size: int) -> float:
    """Return how far rounding can shift a product of unit vectors (D,) in single precision.

    |rounded x.y - x.y| <= D u |x||y| (Higham 2002, section 3.1), and |x| = |y| = 1 except for their own rounding.
    """
    return (emb_size + 4) * 2.0**-24


def could_be_best(scores: np.ndarray, k: int, error: float) -> np.ndarray:
    """Return the indices of scores (N,), each off by at most `error`, that may be among the k largest true scores.

    The k-th largest true score is at least the k-th largest given score minus `error`. A true score that reaches this
    bound has a given score of at least the bound minus `error`.
    """
    if k >= len(scores):
        return np.arange(len(scores))
    kth = np.partition(scores, len(scores) - k)[len(scores) - k]
    return np.flatnonzero(scores >= kth - 2 * error)


def best(keys: np.ndarray, vectors: np.ndarray, query: np.ndarray, k: int) -> Hits:
    """Return the k keys with the largest products in double precision, best first; ties by the lower key."""
    scores = np.einsum("nd,d->n", vectors.astype(np.float64), query)
    order = np.lexsort((keys, -scores))[:k]
    return [(int(keys[place]), float(np.clip(scores[place], -1, 1))) for place in order]


def _grown(array: np.ndarray, used: int, capacity: int) -> np.ndarray:
    grown = np.empty((capacity, *array.shape[1:]), array.dtype)
    grown[:used] = array[:used]
    return grown
