"""SphereFace's multiplied angle (Liu et al. 2017, arXiv:1704.08063), as wespeaker has it."""

import math
from dataclasses import dataclass
from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, ops

from mindvox.config.option import option
from mindvox.losses.classifier import CosineClassifier
from mindvox.losses.functions import cross_entropy

QUARTERS = tuple(math.cos(number * math.pi / 4) for number in (1, 2, 3))


class SphereSoftmax(CosineClassifier):
    """Cross entropy over cosines times the embedding's norm, with the target's angle multiplied by 4.

    The multiplied angle is phased in: it is mixed with the plain one, whose weight lambda falls with each update,
    lambda = max(lambda_end, lambda_start / (1 + lambda_decay * updates)). Args, inputs and outputs are those of
    `CosineClassifier`.
    """

    @dataclass
    class Options(CosineClassifier.Options):
        """Keys of the section `loss`."""

        lambda_start: float = option(1000.0, "initial weight of the plain angle", minimum=0)
        lambda_end: float = option(5.0, "least weight of the plain angle", minimum=0)
        lambda_decay: float = option(0.12, "decay rate of the weight of the plain angle over updates", minimum=0)

    scheduled = ("plain_weight",)

    def __init__(self, emb_size: int, num_classes: int, **keys: Any) -> None:
        super().__init__(emb_size, num_classes, **keys)
        first = Tensor(self.options.lambda_start, ms.float32)
        self.plain_weight = Parameter(first, name="plain_weight", requires_grad=False)

    def schedule(self, epochs: float, updates: int = 0, share: float = 0.0) -> dict[str, float]:
        """Return lambda after this many updates."""
        options = self.options
        falling = options.lambda_start / (1 + options.lambda_decay * (updates + 1))
        return {"plain_weight": max(options.lambda_end, falling)}

    def logits(self, cosine: Tensor, target: Tensor, embedding: Tensor) -> Tensor:
        """Return the logits of the softmax, (B, K)."""
        number = ops.zeros_like(cosine)  # k: whole quarters of pi in the angle
        for bound in QUARTERS:
            number = number + (cosine < bound).astype(ms.float32)
        square = ops.square(cosine)
        of_four = 8 * ops.square(square) - 8 * square + 1  # cos(4 theta)
        sign = 1 - 2 * (number - 2 * ops.floor(number / 2))
        falling = sign * of_four - 2 * number  # falls from 1 to -7 as the angle grows from 0 to pi
        length = ops.sqrt(ops.maximum(ops.square(embedding).sum(axis=1, keepdims=True), 1e-24))
        return length * (cosine + target * (falling - cosine) / (1 + self.plain_weight))

    def value(self, cosine: Tensor, target: Tensor, embedding: Tensor) -> Tensor:
        return cross_entropy(self.logits(cosine, target, embedding), target)
