"""Sums over time and broadcasts to all frames, in the form that is fast on the target device; see `building_for`.

On a CPU a sum along an axis takes ten times as long as a product with a vector of ones (MindSpore 2.10). So does, in
graphs of dynamic shape, an operation between (B, C, T) and (B, C, 1).

MindSpore Lite, which runs exported models, supports neither a tensor's `sum` (SumExt) nor a division by a Python number
(Divs).
"""

from typing import Optional

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvox.layers.building import building_form


def sum_over_time(x: Tensor, form: str, mask: Optional[Tensor] = None) -> Tensor:
    """Return the sum (B, C, 1) of x (B, C, T) over its frames, multiplied by a mask (B, 1, T) if one is given."""
    if form == "native":
        return ops.ReduceSum(keep_dims=True)(x if mask is None else x * mask, 2)
    ones = ops.ones((x.shape[0], x.shape[2], 1), x.dtype) if mask is None else mask.swapaxes(1, 2)
    return ops.BatchMatMul()(x, ones)


def mean_over_time(x: Tensor, form: str, mask: Optional[Tensor] = None) -> Tensor:
    """Return the mean (B, C, 1), float32, of x (B, C, T) over all frames, or over those with 1 in a mask (B, 1, T)."""
    x = x.astype(ms.float32)
    if mask is None and form == "native":
        return ops.ReduceMean(keep_dims=True)(x, 2)
    return sum_over_time(x, form, mask) / count_frames(x, form, mask)


def count_frames(x: Tensor, form: str, mask: Optional[Tensor] = None) -> Tensor:
    """Return the number of frames, float32: (1, 1, 1) for x (B, C, T), or (B, 1, 1) for a mask (B, 1, T) of 0 and 1."""
    if mask is None:
        mask = ops.ones_like(ops.stop_gradient(x[:1, :1]).astype(ms.float32))  # not ops.ones: old Lite lacks it
    return sum_over_time(mask, form)


def for_each_frame(value: Tensor, x: Tensor, form: str) -> Tensor:
    """Return a value (B, C, 1) in a shape that can be added to x (B, C, T) or multiplied with it."""
    if form == "native":
        return value
    return ops.BatchMatMul()(value, ops.ones((x.shape[0], 1, x.shape[2]), value.dtype))


class SoftmaxOverTime(nn.Cell):
    """Softmax over frames.

    Inputs:
        - **x** - (B, C, T).

    Outputs:
        (B, C, T).
    """

    def __init__(self) -> None:
        super().__init__()
        self.form = building_form()

    def construct(self, x: Tensor) -> Tensor:
        return ops.softmax(x, axis=2)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        return (out * (dout - for_each_frame(sum_over_time(out * dout, self.form), out, self.form)),)
