"""Half precision in training: the cells that use it, and the loss scale that it needs."""

from typing import Optional, Union

import mindspore as ms
from mindspore import nn

SCALE_FACTOR = 2  # a power of two changes no digit of a gradient


def mixed_precision(model: nn.Cell, amp_level: str) -> nn.Cell:
    """Let a model compute in float16, by MindSpore's levels (`mindspore.amp.auto_mixed_precision`).

    Weights, their gradients, embeddings, pooling statistics and the objective stay float32 at every level, and
    checkpoints are the same.

    Args:
        model: features to embeddings.
        amp_level: "O0": no change; "O2": all except batch norms; "O3": batch norms too, with float32 weights and
            statistics.
    """
    return ms.amp.auto_mixed_precision(model, amp_level)


def loss_scaler(
    loss_scale: Union[str, float], amp_level: str, start: float, window: int
) -> Optional[ms.amp.LossScaler]:
    """Return the loss scaler that keeps half-precision gradients from vanishing; None: no scaling.

    Args:
        loss_scale: a fixed factor, 1 for none; "dynamic"; or "auto", which is dynamic unless `amp_level` is "O0".
        amp_level: see `mixed_precision`.
        start: initial factor of a dynamic scale.
        window: number of steps without overflow after which a dynamic scale doubles; an overflow halves it.
    """
    if loss_scale == "dynamic" or (loss_scale == "auto" and amp_level != "O0"):
        return ms.amp.DynamicLossScaler(start, SCALE_FACTOR, window)
    return None if loss_scale in ("auto", 1.0) else ms.amp.StaticLossScaler(loss_scale)
