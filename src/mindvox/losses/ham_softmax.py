"""Hyperbolic additive margin softmax (Fang and He 2026, arXiv:2601.19709)."""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, ops

from mindvox.config.option import checked, option
from mindvox.losses.functions import cross_entropy, one_hot, squared_distances
from mindvox.losses.objective import Objective

EPS = 1e-5  # least distance of a point from the edge of the ball, and floor of denominators
LEAST = 1e-7  # floor of the argument of the distance, whose slope is vertical at 0


class HamSoftmax(Objective):
    """Cross entropy over distances to one point per speaker in the Poincare ball, with the target's distance enlarged.

    Embeddings keep their norm; one outside of a ball of radius 1 / sqrt(curvature) is projected onto its edge. As in
    the authors' code, the curvature only limits that radius, and distances are those of curvature 1.

    Args:
        emb_size: embedding size.
        num_classes: training speakers K.
        keys: see `Options`.

    Inputs:
        - **embedding** - (B, emb_size).
        - **label** - class indices, (B,), int32.

    Outputs:
        The mean loss, a scalar, and the negated distances without margin, (B, K).
    """

    @dataclass
    class Options:
        """Keys of the section `loss`."""

        margin: float = option(0.2, "margin added to the target's distance; 0: the authors' H-Softmax", minimum=0)
        scale: float = option(30.0, "factor on the distances", above=0)
        curvature: float = option(
            3.0, "curvature of the space; points lie in a ball of radius 1 / sqrt(curvature)", minimum=1
        )

    def __init__(self, emb_size: int, num_classes: int, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        weight = 1e-3 * np.random.standard_normal((num_classes, emb_size))
        self.weight = Parameter(Tensor(weight, ms.float32), name="weight")
        self.margin, self.scale = options.margin, options.scale
        self.radius = (1 - EPS) / options.curvature**0.5
        self.num_classes = num_classes

    def construct(self, embedding: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        distance = self._distances(self._inside(embedding.astype(ms.float32)), self._inside(self.weight))
        target = one_hot(label, self.num_classes)
        return cross_entropy(-self.scale * (distance + self.margin * target), target), -distance

    def _inside(self, x: Tensor) -> Tensor:
        """Project the rows of (N, D) outside of the ball onto its edge."""
        length = ops.sqrt(ops.maximum(ops.square(x).sum(axis=1, keepdims=True), EPS * EPS))
        return ops.where(length > self.radius, x * (self.radius / length), x)

    def _distances(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the distance of each row of x (N, D) to each of y (M, D) in the ball, (N, M)."""
        of_x = 1 - ops.square(x).sum(axis=1, keepdims=True)
        of_y = 1 - ops.square(y).sum(axis=1, keepdims=True).swapaxes(0, 1)
        ratio = 2 * squared_distances(x, y) / ops.maximum(of_x * of_y, EPS)
        ratio = ops.maximum(ratio, LEAST)
        return ops.log(1 + ratio + ops.sqrt(ratio * (ratio + 2)))  # acosh(1 + ratio)
