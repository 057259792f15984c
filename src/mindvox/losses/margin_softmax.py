"""What objectives with a margin share: the classifier's weights, sub-centres, inter-top-k, the margin's schedule."""

import math
from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.errors import InputError
from mindvox.layers.unit_length import unit

COSINE_LIMIT = 1 - 1e-6  # sqrt(1 - c^2) is vertical at |c| = 1
GROWTH_END = 1e-3  # what an exponential growth of the margin leaves to go before it is set to its last value


class MarginSoftmax(nn.Cell):
    """Cross entropy over scaled cosines, the target's cosine made smaller by a margin; a subclass says how.

    Args:
        emb_size: size of an embedding.
        num_classes: training speakers K.
        keys: see `Options`.

    Inputs:
        - **embedding** - (B, emb_size).
        - **label** - class indices, (B,), int32.

    Outputs:
        The mean loss, a scalar, and the cosines without margin, (B, K).
    """

    @dataclass
    class Options:
        """Keys of the section `loss`."""

        margin: float = option(0.2, "margin, radians for angles", minimum=0, below=1.5)
        margin_start: float = option(0.0, "margin before margin_from_epoch", minimum=0, below=1.5)
        margin_from_epoch: float = option(1.0, "epoch (from 1) at whose start the margin begins to grow", minimum=1)
        margin_to_epoch: float = option(
            1.0, "epoch at whose start it has grown to margin; 1: margin from the start", minimum=1
        )
        margin_growth: str = option(
            "exponential", "how it grows: fast at first, or evenly", choices=("exponential", "linear")
        )
        scale: float = option(30.0, "factor on the cosines before softmax", above=0)
        sub_centers: int = option(1, "centres of each speaker, of which the nearest counts", minimum=1)
        inter_topk: int = option(0, "nearest other speakers whose cosine is made greater; 0: none", minimum=0)
        inter_topk_margin: float = option(
            0.06, "by what angle, radians, at the full margin; grows with it", minimum=0, below=1.5
        )

        def problems(self) -> list[str]:
            """Return what is wrong between keys, one line each."""
            if self.margin_from_epoch > self.margin_to_epoch:
                return [
                    f"margin_from_epoch: expected at most margin_to_epoch {self.margin_to_epoch:g}, got "
                    f"{self.margin_from_epoch:g}."
                ]
            return []

    scheduled = ("margin",)
    """Parameters that `schedule` changes. They take no gradient and are not saved."""

    def __init__(self, emb_size: int, num_classes: int, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        if options.inter_topk >= num_classes:
            raise InputError(f"inter_topk: expected less than the {num_classes} classes, got {options.inter_topk}.")
        num_centers = num_classes * options.sub_centers
        bound = math.sqrt(6 / (emb_size + num_centers))  # Xavier
        weight = np.random.uniform(-bound, bound, (num_centers, emb_size))
        self.weight = Parameter(Tensor(weight, ms.float32), name="weight")
        self.margin = Parameter(Tensor(options.margin, ms.float32), name="margin", requires_grad=False)
        self.options = options
        self.scale = options.scale
        self.num_classes = num_classes
        self.sub_centers = options.sub_centers
        self.inter_topk = options.inter_topk
        self.hard_share = options.inter_topk_margin / options.margin if options.margin > 0 else 0.0
        self.product = ops.MatMul(transpose_b=True)

    def shift(self, cosine: Tensor) -> Tensor:
        """Return the target's cosine (B, K) after the margin."""
        raise NotImplementedError

    def construct(self, embedding: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        cosine = self.product(unit(embedding.astype(ms.float32)), unit(self.weight))
        if self.sub_centers > 1:
            cosine = cosine.reshape(-1, self.num_classes, self.sub_centers).max(axis=2)
        # Not ops.clamp, which turns NaN into a bound on a CPU (2.10) and would hide that training has failed.
        cosine = ops.where(ops.abs(cosine) > COSINE_LIMIT, ops.sign(cosine) * COSINE_LIMIT, cosine)
        target = ops.one_hot(label, cosine.shape[1], Tensor(1.0, ms.float32), Tensor(0.0, ms.float32))
        others = cosine if self.inter_topk == 0 else self._harder(cosine, target)
        logits = self.scale * (target * self.shift(cosine) + (1 - target) * others)
        return cross_entropy(logits, target), cosine

    def accuracy(self, score: Tensor, label: Tensor) -> Tensor:
        """Return the share of rows (B, K) whose greatest cosine is their label's."""
        return share_of_hits(score, label)

    def schedule(self, epochs: float) -> dict[str, float]:
        """Return the value of each scheduled parameter after so many epochs."""
        options = self.options
        first, last = options.margin_from_epoch - 1, options.margin_to_epoch - 1
        if epochs >= last:
            return {"margin": options.margin}
        position = max(0.0, (epochs - first) / (last - first)) if last > first else 0.0
        grown = 1 - GROWTH_END**position if options.margin_growth == "exponential" else position
        return {"margin": options.margin_start + (options.margin - options.margin_start) * grown}

    def adapt(self, arrays: dict[str, np.ndarray], before: dict[str, Any]) -> dict[str, np.ndarray]:
        """Return a checkpoint's arrays "loss.*" for this objective, cut to as many classes as it has.

        Training with speed_classes appends the speakers at other speeds behind the speakers; fine-tuning without it
        keeps the first. Where the checkpoint's classes are not a multiple of this objective's, nothing is cut.

        Args:
            arrays: of a checkpoint of the same speakers.
            before: the section `loss` of that checkpoint.

        Raises:
            InputError: the checkpoint has another number of sub-centres.
        """
        if before["sub_centers"] != self.sub_centers:
            raise InputError(
                f"sub_centers: the checkpoint's classifier has {before['sub_centers']} for each speaker, the "
                f"configuration says {self.sub_centers}: set sub_centers: {before['sub_centers']}."
            )
        weight, num_rows = arrays["loss.weight"], len(self.weight)
        return {**arrays, "loss.weight": weight[:num_rows]} if len(weight) % num_rows == 0 else arrays

    def _harder(self, cosine: Tensor, target: Tensor) -> Tensor:
        """Return the cosines with those of the nearest other classes at an angle less the penalty."""
        _, nearest = ops.topk(ops.stop_gradient(cosine - 2 * target), self.inter_topk)  # -2: never the own class
        hard = ops.tensor_scatter_elements(ops.zeros_like(cosine), nearest, ops.ones_like(nearest, dtype=ms.float32), 1)
        penalty = self.hard_share * self.margin
        nearer = cosine * ops.cos(penalty) + ops.sqrt(1 - ops.square(cosine)) * ops.sin(penalty)  # cos(theta - penalty)
        return ops.where(hard > 0, nearer, cosine)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross entropy of softmax over logits (B, K), with target (B, K) that sums to 1 in each row."""
    peak = ops.stop_gradient(logits.max(axis=1, keepdims=True))
    log_sum = ops.log(ops.exp(logits - peak).sum(axis=1)) + peak.squeeze(1)
    return (log_sum - (target * logits).sum(axis=1)).mean()


def share_of_hits(score: Tensor, label: Tensor) -> Tensor:
    """Return the share of rows (B, K) whose greatest value is at their label (B,)."""
    return (score.argmax(1).astype(ms.int32) == label).astype(ms.float32).mean()
