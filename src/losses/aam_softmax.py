"""Additive angular margin softmax (Deng et al. 2019, arXiv:1801.07698)."""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

COSINE_LIMIT = 1 - 1e-6  # sqrt(1 - c^2) is vertical at |c| = 1


class AamSoftmax(nn.Cell):
    """Cross entropy over scaled cosines, the target's angle enlarged by a margin.

    Args:
        emb_size: size of an embedding.
        num_classes: training speakers K.
        margin: added to the target's angle, radians; `set_margin` changes it without a new compilation.
        scale: factor on the cosines before softmax.

    Inputs:
        - **embedding** - (B, emb_size).
        - **label** - class indices, (B,), int32.

    Outputs:
        The mean loss, a scalar, and the cosines without margin, (B, K).
    """

    def __init__(self, emb_size: int, num_classes: int, margin: float = 0.2, scale: float = 30.0) -> None:
        super().__init__()
        if not 0 <= margin < math.pi / 2:
            raise ValueError(f"`margin` must be in [0, pi/2), got {margin}.")
        if scale <= 0:
            raise ValueError(f"`scale` must be positive, got {scale}.")
        bound = math.sqrt(6 / (emb_size + num_classes))  # Xavier
        weight = np.random.uniform(-bound, bound, (num_classes, emb_size))
        self.weight = Parameter(Tensor(weight, ms.float32), name="weight")
        self.margin = Parameter(Tensor(margin, ms.float32), name="margin", requires_grad=False)
        self.scale = scale
        self.product = ops.MatMul(transpose_b=True)

    def set_margin(self, margin: float) -> None:
        """Change the margin, radians, of a compiled step too."""
        self.margin.set_data(Tensor(margin, ms.float32))

    def construct(self, embedding: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        cosine = self.product(_unit(embedding.astype(ms.float32)), _unit(self.weight))
        # Not ops.clamp, which turns NaN into a bound on a CPU (2.10) and would hide that training has failed.
        cosine = ops.where(ops.abs(cosine) > COSINE_LIMIT, ops.sign(cosine) * COSINE_LIMIT, cosine)
        shifted = cosine * ops.cos(self.margin) - ops.sqrt(1 - ops.square(cosine)) * ops.sin(self.margin)
        # Past theta = pi - m the shifted cosine would rise again; subtracting a constant keeps it falling.
        shifted = ops.where(cosine > -ops.cos(self.margin), shifted, cosine - ops.sin(self.margin) * self.margin)
        target = ops.one_hot(label, cosine.shape[1], Tensor(1.0, ms.float32), Tensor(0.0, ms.float32))
        logits = self.scale * (target * shifted + (1 - target) * cosine)
        peak = ops.stop_gradient(logits.max(axis=1, keepdims=True))
        log_sum = ops.log(ops.exp(logits - peak).sum(axis=1)) + peak.squeeze(1)
        return (log_sum - (target * logits).sum(axis=1)).mean(), cosine


def _unit(x: Tensor) -> Tensor:
    # Written out: the gradient of the framework's L2Normalize is 500 times slower on a CPU (2.10).
    return x * ops.rsqrt(ops.maximum(ops.square(x).sum(axis=1, keepdims=True), 1e-24))
