"""Functions shared by objectives, all in float32."""

import mindspore as ms
from mindspore import Tensor, ops

from mindvox.layers.unit_length import unit

COSINE_LIMIT = 1 - 1e-6  # sqrt(1 - c^2) is vertical at |c| = 1


def cosines(x: Tensor, y: Tensor) -> Tensor:
    """Return the cosine of each row of x (N, D) with each row of y (M, D), (N, M), inside COSINE_LIMIT."""
    return inside_limit(ops.MatMul(transpose_b=True)(unit(x), unit(y)))


def inside_limit(cosine: Tensor) -> Tensor:
    """Return cosines limited to +-COSINE_LIMIT."""
    # Not ops.clamp, which turns NaN into a bound on a CPU (2.10) and would hide that training has failed.
    return ops.where(ops.abs(cosine) > COSINE_LIMIT, ops.sign(cosine) * COSINE_LIMIT, cosine)


def one_hot(label: Tensor, num_classes: int) -> Tensor:
    """Return one-hot rows (B, num_classes) for labels (B,)."""
    return ops.one_hot(label, num_classes, Tensor(1.0, ms.float32), Tensor(0.0, ms.float32))


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross entropy of softmax over logits (B, K), with target (B, K) that sums to 1 in each row."""
    peak = ops.stop_gradient(logits.max(axis=1, keepdims=True))
    log_sum = ops.log(ops.exp(logits - peak).sum(axis=1)) + peak.squeeze(1)
    return (log_sum - (target * logits).sum(axis=1)).mean()


def smoothed(target: Tensor, share: float) -> Tensor:
    """Return a target (B, K) with a share spread evenly over all classes."""
    return target * (1 - share) + share / target.shape[1] if share > 0 else target


def softplus(x: Tensor) -> Tensor:
    """Return log(1 + e^x) without overflow."""
    return ops.relu(x) + ops.log(1 + ops.exp(-ops.abs(x)))


def wider(cosine: Tensor, angle: Tensor) -> Tensor:
    """Return cos(theta + angle), theta in (0, pi) with this cosine."""
    return cosine * ops.cos(angle) - ops.sqrt(1 - ops.square(cosine)) * ops.sin(angle)


def narrower(cosine: Tensor, angle: Tensor) -> Tensor:
    """Return cos(theta - angle), theta in (0, pi) with this cosine."""
    return cosine * ops.cos(angle) + ops.sqrt(1 - ops.square(cosine)) * ops.sin(angle)


def share_of_hits(score: Tensor, label: Tensor) -> Tensor:
    """Return the share of rows (B, K) whose greatest value is at their label (B,)."""
    return (score.argmax(1).astype(ms.int32) == label).astype(ms.float32).mean()


def own_rows(score: Tensor) -> Tensor:
    """Return the row indices of (N, M), (N,), int32."""
    return ops.arange(score.shape[0]).astype(ms.int32)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared distance of each row of x (N, D) to each row of y (M, D), (N, M)."""
    products = ops.MatMul(transpose_b=True)(x, y)
    squares = ops.square(x).sum(axis=1, keepdims=True) + ops.square(y).sum(axis=1, keepdims=True).swapaxes(0, 1)
    return ops.relu(squares - 2 * products)  # rounding can make it negative
