"""Additive angular margin softmax (Deng et al. 2019, arXiv:1801.07698), with sub-centres and an inter-top-k penalty."""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.errors import InputError

COSINE_LIMIT = 1 - 1e-6  # sqrt(1 - c^2) is vertical at |c| = 1


class AamSoftmax(nn.Cell):
    """Cross entropy over scaled cosines, the target's angle enlarged by a margin.

    Args:
        emb_size: size of an embedding.
        num_classes: training speakers K.
        margin: added to the target's angle, radians; `set_margin` changes it without a new compilation.
        scale: factor on the cosines before softmax.
        sub_centers: centres of a speaker, in rows that follow one another; the nearest counts (Deng et al. 2020,
            Sub-center ArcFace, ECCV).
        inter_topk: nearest other speakers, whose angles are made smaller (Zhao et al. 2022, arXiv:2110.05042).
        inter_topk_margin: by so much, radians, while the margin is `margin`, and in proportion to it.

    Inputs:
        - **embedding** - (B, emb_size).
        - **label** - class indices, (B,), int32.

    Outputs:
        The mean loss, a scalar, and the cosines without margin, (B, K).
    """

    def __init__(
        self,
        emb_size: int,
        num_classes: int,
        margin: float = 0.2,
        scale: float = 30.0,
        sub_centers: int = 1,
        inter_topk: int = 0,
        inter_topk_margin: float = 0.06,
    ) -> None:
        super().__init__()
        if not 0 <= margin < math.pi / 2:
            raise ValueError(f"`margin` must be in [0, pi/2), got {margin}.")
        if scale <= 0:
            raise ValueError(f"`scale` must be positive, got {scale}.")
        if sub_centers < 1:
            raise ValueError(f"`sub_centers` must be at least 1, got {sub_centers}.")
        if not 0 <= inter_topk < num_classes:
            raise ValueError(f"`inter_topk` must be from 0 to the other {num_classes - 1} classes, got {inter_topk}.")
        num_centers = num_classes * sub_centers
        bound = math.sqrt(6 / (emb_size + num_centers))  # Xavier
        weight = np.random.uniform(-bound, bound, (num_centers, emb_size))
        self.weight = Parameter(Tensor(weight, ms.float32), name="weight")
        self.margin = Parameter(Tensor(margin, ms.float32), name="margin", requires_grad=False)
        self.scale = scale
        self.num_classes = num_classes
        self.sub_centers = sub_centers
        self.inter_topk = inter_topk
        self.hard_share = inter_topk_margin / margin if margin > 0 else 0.0
        self.product = ops.MatMul(transpose_b=True)

    def set_margin(self, margin: float) -> None:
        """Change the margin, radians, of a compiled step too."""
        self.margin.set_data(Tensor(margin, ms.float32))

    def construct(self, embedding: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        cosine = self.product(_unit(embedding.astype(ms.float32)), _unit(self.weight))
        if self.sub_centers > 1:
            cosine = cosine.reshape(-1, self.num_classes, self.sub_centers).max(axis=2)
        # Not ops.clamp, which turns NaN into a bound on a CPU (2.10) and would hide that training has failed.
        cosine = ops.where(ops.abs(cosine) > COSINE_LIMIT, ops.sign(cosine) * COSINE_LIMIT, cosine)
        shifted = cosine * ops.cos(self.margin) - ops.sqrt(1 - ops.square(cosine)) * ops.sin(self.margin)
        # Past theta = pi - m the shifted cosine would rise again; subtracting a constant keeps it falling.
        shifted = ops.where(cosine > -ops.cos(self.margin), shifted, cosine - ops.sin(self.margin) * self.margin)
        target = ops.one_hot(label, cosine.shape[1], Tensor(1.0, ms.float32), Tensor(0.0, ms.float32))
        others = cosine if self.inter_topk == 0 else self._harder(cosine, target)
        logits = self.scale * (target * shifted + (1 - target) * others)
        peak = ops.stop_gradient(logits.max(axis=1, keepdims=True))
        log_sum = ops.log(ops.exp(logits - peak).sum(axis=1)) + peak.squeeze(1)
        return (log_sum - (target * logits).sum(axis=1)).mean(), cosine

    def _harder(self, cosine: Tensor, target: Tensor) -> Tensor:
        """Return the cosines with those of the nearest other classes at an angle less the penalty."""
        _, nearest = ops.topk(ops.stop_gradient(cosine - 2 * target), self.inter_topk)  # -2: never the own class
        hard = ops.tensor_scatter_elements(ops.zeros_like(cosine), nearest, ops.ones_like(nearest, dtype=ms.float32), 1)
        penalty = self.hard_share * self.margin
        nearer = cosine * ops.cos(penalty) + ops.sqrt(1 - ops.square(cosine)) * ops.sin(penalty)  # cos(theta - penalty)
        return ops.where(hard > 0, nearer, cosine)


def first_classes(arrays: dict[str, np.ndarray], sub_centers: int, loss: AamSoftmax) -> dict[str, np.ndarray]:
    """Return a checkpoint's arrays with its classifier cut to as many classes as `loss` has.

    Training with speed_classes appends the speakers at other speeds behind the speakers; fine-tuning without it keeps
    the first. Where the checkpoint's classes are not a multiple of the objective's, nothing is cut.

    Args:
        arrays: of a checkpoint of the same speakers.
        sub_centers: centres of a speaker in the checkpoint.

    Raises:
        InputError: the objective has another number of them.
    """
    if sub_centers != loss.sub_centers:
        raise InputError(
            f"sub_centers: the checkpoint's classifier has {sub_centers} for each speaker, the configuration says "
            f"{loss.sub_centers}: set sub_centers: {sub_centers}."
        )
    weight, num_rows = arrays["loss.weight"], len(loss.weight)
    return {**arrays, "loss.weight": weight[:num_rows]} if len(weight) % num_rows == 0 else arrays


def _unit(x: Tensor) -> Tensor:
    # Written out: the gradient of the framework's L2Normalize is 500 times slower on a CPU (2.10).
    return x * ops.rsqrt(ops.maximum(ops.square(x).sum(axis=1, keepdims=True), 1e-24))
