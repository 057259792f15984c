"""A sampler that takes every record once."""

import numpy as np

from mindvox.data.samplers.sampler import Sampler


class Shuffle(Sampler):
    """Take every record once, in random order."""

    @property
    def num_records(self) -> int:
        """Number of records in an epoch."""
        return len(self.records)

    def order(self, epoch: int) -> np.ndarray:
        """Return a permutation of the records."""
        return np.random.default_rng((self.seed, epoch)).permutation(self.records)
