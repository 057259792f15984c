"""The interface of samplers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindvox.config.option import checked


class Sampler:
    """Decides the records and the order of an epoch from seed and epoch only, for any number of ranks.

    Consecutive records of the order form a global batch. Each rank takes an equal part of every batch, in the order of
    ranks. A run can therefore resume after any batch, also on another number of ranks.

    Args:
        records: indices of the records that may be drawn, (R,), ascending.
        labels: returns the label of each record, (R,); called only by samplers that need labels.
        utterances: returns an utterance index for each record, (R,), equal for pieces and distorted copies of one
            utterance; called only by samplers that need it.
        global_size: number of records in a global batch.
        seed: random seed of the order.
        keys: see `Options`.

    Attributes:
        utterances_per_speaker: number of consecutive records of one speaker, who occurs once in a global batch; 1: no
            grouping by speaker.
    """

    @dataclass
    class Options:
        """Keys of the section `sampler`."""

    utterances_per_speaker = 1

    def __init__(
        self,
        records: np.ndarray,
        labels: Callable[[], np.ndarray],
        utterances: Callable[[], np.ndarray],
        global_size: int,
        seed: int,
        **keys: Any,
    ) -> None:
        self.records = records
        self.labels = labels
        self.utterances = utterances
        self.global_size = global_size
        self.seed = seed
        self.options: Any = checked(self.Options(**keys))
        self.set_up()

    def set_up(self) -> None:
        """Inspect the records once if necessary; raise InputError if no epoch can be formed."""

    @property
    def num_records(self) -> int:
        """Number of records in an epoch, including those of an incomplete last batch."""
        raise NotImplementedError

    def order(self, epoch: int) -> np.ndarray:
        """Return the records of an epoch (from 0), (num_records,); records may repeat."""
        raise NotImplementedError

    def part(self, epoch: int, first: int, rank: int, num_ranks: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the records of a rank in an epoch.

        Args:
            first: number of records of the epoch's order that all ranks have already processed.

        Returns:
            Records (batches, global_size / num_ranks), and how often each was drawn earlier in this epoch.
        """
        order = self.order(epoch)
        num_batches = (len(order) - first) // self.global_size
        used = slice(first, first + num_batches * self.global_size)
        size = self.global_size // num_ranks
        columns = slice(rank * size, (rank + 1) * size)
        records, earlier = (
            values[used].reshape(num_batches, self.global_size)[:, columns] for values in (order, drawn_before(order))
        )
        return records, earlier


def drawn_before(order: np.ndarray) -> np.ndarray:
    """Return, for each entry of (N,), the number of equal earlier entries."""
    by_value = np.argsort(order, kind="stable")
    is_first = np.r_[True, np.diff(order[by_value]) != 0]
    first_place = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    before = np.empty(len(order), np.int64)
    before[by_value] = np.arange(len(order)) - first_place
    return before
