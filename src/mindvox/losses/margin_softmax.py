"""The base class of objectives with a margin and softmax."""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
from mindspore import Tensor, ops

from mindvox.config.option import option
from mindvox.errors import InputError
from mindvox.losses.classifier import MarginClassifier
from mindvox.losses.functions import cross_entropy, narrower, smoothed


class MarginSoftmax(MarginClassifier):
    """Cross entropy over scaled cosines, with the target's cosine reduced by a margin; subclasses define how.

    Args, inputs and outputs are those of `CosineClassifier`.
    """

    @dataclass
    class Options(MarginClassifier.Options):
        """Keys of the section `loss`."""

        inter_topk: int = option(0, "number of nearest other speakers whose cosines are raised; 0: none", minimum=0)
        inter_topk_margin: float = option(
            0.06, "angle, radians, by which inter_topk raises cosines; grows with the margin", minimum=0, below=1.5
        )
        label_smoothing: float = option(
            0.0, "label smoothing: share of the target that is spread over all speakers", minimum=0, below=1
        )

    def __init__(self, emb_size: int, num_classes: int, **keys: Any) -> None:
        super().__init__(emb_size, num_classes, **keys)
        options = self.options
        self.inter_topk = options.inter_topk
        if self.inter_topk >= num_classes:
            raise InputError(f"inter_topk: expected less than the {num_classes} classes, got {self.inter_topk}.")
        self.hard_share = options.inter_topk_margin / options.margin if options.margin > 0 else 0.0
        self.label_smoothing = options.label_smoothing

    def shift(self, cosine: Tensor) -> Tensor:
        """Return the target's cosine (B, K) after the margin."""
        raise NotImplementedError

    def logits(self, cosine: Tensor, target: Tensor) -> Tensor:
        """Return the logits of the softmax, (B, K)."""
        others = cosine if self.inter_topk == 0 else self._harder(cosine, target)
        return self.scale * (target * self.shift(cosine) + (1 - target) * others)

    def value(self, cosine: Tensor, target: Tensor, embedding: Tensor) -> Tensor:
        logits = self.logits(cosine, target)
        return cross_entropy(logits, smoothed(target, self.label_smoothing))

    def _harder(self, cosine: Tensor, target: Tensor) -> Tensor:
        """Return the cosines, with those of the nearest other classes taken at an angle reduced by the penalty."""
        _, nearest = ops.topk(ops.stop_gradient(cosine - 2 * target), self.inter_topk)  # -2 excludes the target class
        hard = ops.tensor_scatter_elements(ops.zeros_like(cosine), nearest, ops.ones_like(nearest, dtype=ms.float32), 1)
        return ops.where(hard > 0, narrower(cosine, self.hard_share * self.margin), cosine)
