"""A sampler that takes every speaker equally often."""

from dataclasses import dataclass

import numpy as np

from mindvox.config.option import option
from mindvox.data.samplers.sampler import Sampler


class Balanced(Sampler):
    """Take equally many records of every speaker, in random order.

    Speakers with more records contribute different ones in each epoch; records of speakers with fewer are repeated,
    each time with another crop.

    Args:
        records, labels, utterances, global_size, seed: see `Sampler`.
        keys: see `Options`.
    """

    @dataclass
    class Options:
        """Keys of the section `sampler`."""

        per_speaker: int = option(
            0, "number of records per speaker and epoch; 0: the mean number, rounded up", minimum=0
        )

    def set_up(self) -> None:
        self.by_speaker = split_by_label(self.records, self.labels())
        self.per_speaker = self.options.per_speaker or -(-len(self.records) // len(self.by_speaker))

    @property
    def num_records(self) -> int:
        """Number of records in an epoch."""
        return self.per_speaker * len(self.by_speaker)

    def order(self, epoch: int) -> np.ndarray:
        """Return equally many records of each speaker."""
        rng = np.random.default_rng((self.seed, epoch))
        drawn = [np.resize(rng.permutation(of_speaker), self.per_speaker) for of_speaker in self.by_speaker]
        return rng.permutation(np.concatenate(drawn))


def split_by_label(values: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Split the values (R,) by label, in the order of the labels."""
    order = np.argsort(labels, kind="stable")
    return np.split(values[order], np.flatnonzero(np.diff(labels[order])) + 1)
