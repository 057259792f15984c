"""What a sampler is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindvox.config.option import checked


class Sampler:
    """Decide an epoch's records and their order from seed and epoch alone, whatever the number of processes.

    Consecutive records of an order make a global batch. Each process takes its equal part of every batch, in the order
    of the ranks. A run can therefore go on behind any batch, also on another number of processes.

    Args:
        records: numbers of the records that may be drawn, (R,), rising.
        labels: returns the label of each of them, (R,); called only by samplers that need labels.
        utterances: returns a number for each of them, (R,), which is equal where they are pieces or distorted copies
            of one utterance; called only by samplers that need it.
        global_size: records of a global batch.
        seed: of the order.
        keys: see `Options`.

    Attributes:
        utterances_per_speaker: so many consecutive records are of one speaker, who is in a global batch once; 1:
            records come as they will.
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
        """Look at the records once, where a sampler has to; InputError when no epoch can be made of them."""

    @property
    def num_records(self) -> int:
        """Records of an epoch, those of an incomplete last batch included."""
        raise NotImplementedError

    def order(self, epoch: int) -> np.ndarray:
        """Return the records of an epoch (from 0), (num_records,); a record may be there more than once."""
        raise NotImplementedError

    def part(self, epoch: int, first: int, rank: int, num_ranks: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what a process takes in an epoch.

        Args:
            first: records of the epoch's order that all processes have had already.

        Returns:
            Records (batches, global_size / num_ranks), and how often each was drawn before in this epoch.
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
    """Return for each entry of (N,) how many earlier entries are equal to it."""
    by_value = np.argsort(order, kind="stable")
    is_first = np.r_[True, np.diff(order[by_value]) != 0]
    first_place = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    before = np.empty(len(order), np.int64)
    before[by_value] = np.arange(len(order)) - first_place
    return before
