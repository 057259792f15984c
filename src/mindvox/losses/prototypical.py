"""Prototypical loss (Snell et al. 2017, arXiv:1703.05175), as voxceleb_trainer has it for speakers."""

from mindspore import Tensor

from mindvox.losses.batch import TORCH_EPS, BatchObjective, mean_of_others
from mindvox.losses.functions import cross_entropy, one_hot, own_rows, squared_distances


class Prototypical(BatchObjective):
    """Classify an utterance of the batch by the nearest speaker prototype, by distance.

    The first utterance of each speaker is compared with the mean of each speaker's others. Embeddings keep their norm.
    Args, inputs and outputs are those of `BatchObjective`; the scores are negated squared distances.
    """

    def compare(self, x: Tensor) -> tuple[Tensor, Tensor]:
        score = -squared_distances(x[:, 0] + TORCH_EPS, mean_of_others(x))
        return cross_entropy(score, one_hot(own_rows(score), score.shape[1])), score
