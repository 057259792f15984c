"""Means and deviations over time: what every pooling here computes."""

from typing import Optional

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvox.layers.building import building_form
from mindvox.layers.over_time import count_frames, for_each_frame, mean_over_time, sum_over_time

TINY = 1e-20  # floor of a variance without eps: its root is 0 in all digits that count, and has a finite slope


def channels_over_time(x: Tensor, channels: int) -> Tensor:
    """Return x as (B, channels, T): as it is, or from (B, C, F, T) with C outermost."""
    return x if x.ndim == 3 else x.reshape(-1, channels, x.shape[3])


def biased_statistics(x: Tensor, form: str, eps: float, mask: Optional[Tensor] = None) -> Tensor:
    """Means over time, then biased deviations, of x (B, C, T): (B, 2C, 1), float32.

    Args:
        form: see `building_form`.
        eps: floor of the variance.
        mask: None, or (B, 1, T) of 0 and 1: the frames that count.
    """
    mean = mean_over_time(x, form, mask)
    centred = _centred(x, mean, form)
    return ops.cat((mean, floored_root(mean_over_time(centred * centred, form, mask), eps)), axis=1)


def unbiased_statistics(x: Tensor, form: str, eps: float) -> Tensor:
    """Means over time, then unbiased deviations, of x (B, C, T), T > 1: (B, 2C, 1), float32.

    Args:
        form: see `building_form`.
        eps: added to the variance.
    """
    mean = mean_over_time(x, form)
    centred = _centred(x, mean, form)
    variance = sum_over_time(centred * centred, form) / (count_frames(x, form) - 1)
    return ops.cat((mean, ops.sqrt(variance + eps) if eps > 0 else floored_root(variance, TINY)), axis=1)


def weighted_statistics(x: Tensor, weight: Tensor, eps: float, form: str) -> Tensor:
    """Weighted means over time, then deviations, of x (B, C, T): (B, 2C, 1).

    Args:
        weight: (B, C, T), sums to 1 over T.
        eps: floor of the variance.
        form: see `building_form`.
    """
    mean = sum_over_time(weight * x, form)
    centred = _centred(x, mean, form)
    return ops.cat((mean, floored_root(sum_over_time(weight * centred * centred, form), eps)), axis=1)


def floored_root(variance: Tensor, eps: float) -> Tensor:
    """Square root of a variance that is at least `eps`, so that its slope stays finite."""
    return ops.sqrt(ops.maximum(variance, eps))


def _centred(x: Tensor, mean: Tensor, form: str) -> Tensor:
    """Return x - mean. E[x^2] - E[x]^2 would be the same number, but cancels in single precision."""
    return x.astype(ms.float32) - for_each_frame(mean, x, form)


class StatisticsPooling(nn.Cell):
    """Pool by mean and unbiased deviation (Snyder et al. 2018, x-vectors).

    Args:
        channels: channels of the input.
        eps: added to the variance: 0 is 3D-Speaker's and mvector's StatsPool, 1e-7 wespeaker's TSTP.

    Inputs:
        - **x** - (B, C, T) or (B, C, F, T), T > 1.

    Outputs:
        (B, 2 * channels), float32: the means, then the deviations.
    """

    def __init__(self, channels: int, eps: float = 0.0) -> None:
        super().__init__()
        self.channels = channels
        self.out_channels = 2 * channels
        self.eps = eps
        self.form = building_form()

    def construct(self, x: Tensor) -> Tensor:
        x = channels_over_time(x, self.channels)
        return unbiased_statistics(x, self.form, self.eps).squeeze(2)
