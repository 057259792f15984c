"""mvector's TripletAngularMarginLoss: a classifier, and triplets by cosine in the batch."""

from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, ops

from mindvox.config.option import option
from mindvox.losses.classifier import CosineClassifier
from mindvox.losses.functions import cosines, cross_entropy


class TripletAngular(CosineClassifier):
    """Cross entropy over cosines, plus hinge terms of the batch's hardest pairs for a margin and two bounds.

    For each row, let p be the least cosine with a row of the same speaker and n the greatest with a row of another one.
    The added terms are the means of max(0, n - p + margin), of max(0, same_bound - p), and of n - other_bound where
    that is positive, else 1. The 1 is mvector's: it has no gradient and only bounds the loss from below.

    Args, inputs and outputs are those of `CosineClassifier`; a batch has `num_utterances` rows of each speaker.
    """

    @dataclass
    class Options(CosineClassifier.Options):
        """Keys of the section `loss`."""

        num_utterances: int = option(
            4, "number of utterances per speaker in a batch; must match the sampler", minimum=2
        )
        margin: float = option(0.5, "margin by which p must exceed n", minimum=0)
        has_bounds: bool = option(True, "add the terms with same_bound and other_bound (mvector: add_absolute)")
        same_bound: float = option(0.8, "least cosine for p (mvector: ap_value)", above=-1, below=1)
        other_bound: float = option(0.4, "greatest cosine for n (mvector: an_value)", above=-1, below=1)

    def __init__(self, emb_size: int, num_classes: int, **keys: Any) -> None:
        super().__init__(emb_size, num_classes, **keys)
        options = self.options
        self.utterances_per_speaker = options.num_utterances
        self.margin, self.has_bounds = options.margin, options.has_bounds
        self.same_bound, self.other_bound = options.same_bound, options.other_bound

    def value(self, cosine: Tensor, target: Tensor, embedding: Tensor) -> Tensor:
        loss = cross_entropy(cosine, target)
        pairs = cosines(embedding, embedding)
        same = ops.MatMul(transpose_b=True)(target, target)
        least_same = (pairs + 4 * (1 - same)).min(axis=1)
        greatest_other = (pairs - 4 * same).max(axis=1)
        loss = loss + ops.relu(greatest_other - least_same + self.margin).mean()
        if self.has_bounds:
            excess = greatest_other - self.other_bound
            loss = loss + ops.relu(self.same_bound - least_same).mean()
            loss = loss + ops.where(excess > 0, excess, ops.ones_like(excess)).mean()
        return loss
