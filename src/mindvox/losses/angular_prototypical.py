"""Angular prototypical loss (Chung et al. 2020, "In defence of metric learning", arXiv:2003.11982)."""

from mindspore import Tensor

from mindvox.losses.batch import ScaledCosines, mean_of_others
from mindvox.losses.functions import cosines, one_hot, own_rows


class AngularPrototypical(ScaledCosines):
    """Classify an utterance of the batch by the nearest speaker prototype, by cosine.

    The first utterance of each speaker is compared with the mean of each speaker's others. Args, inputs and outputs are
    those of `ScaledCosines`; the scores are the cosines.
    """

    def compare(self, x: Tensor) -> tuple[Tensor, Tensor]:
        cosine = cosines(x[:, 0], mean_of_others(x))
        return self.loss_of(cosine, one_hot(own_rows(cosine), cosine.shape[1])), cosine
