"""Means and deviations over time, shared by the poolings."""

from typing import Optional

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvox.errors import InputError
from mindvox.layers.building import building_form
from mindvox.layers.over_time import count_frames, for_each_frame, mean_over_time, sum_over_time

TINY = 1e-20  # floor of a variance without eps: the root is practically 0, and its slope is finite


def channels_over_time(x: Tensor, channels: int) -> Tensor:
    """Return x as (B, channels, T): unchanged, or (B, C, F, T) reshaped with C outermost."""
    return x if x.ndim == 3 else x.reshape(-1, channels, x.shape[3])


def biased_statistics(x: Tensor, form: str, eps: float, mask: Optional[Tensor] = None) -> Tensor:
    """Return the means over time, then the biased deviations of x (B, C, T): (B, 2C, 1), float32.

    Args:
        form: see `building_form`.
        eps: floor of the variance.
        mask: None, or (B, 1, T), 1 for valid frames and 0 for padding.
    """
    mean = mean_over_time(x, form, mask)
    centred = _centred(x, mean, form)
    return ops.cat((mean, floored_root(mean_over_time(centred * centred, form, mask), eps)), axis=1)


def unbiased_statistics(x: Tensor, form: str, eps: float) -> Tensor:
    """Return the means over time, then the unbiased deviations of x (B, C, T), T > 1: (B, 2C, 1), float32.

    Args:
        form: see `building_form`.
        eps: added to the variance.
    """
    mean, variance = mean_and_unbiased_variance(x, form)
    return ops.cat((mean, _rooted(variance, eps)), axis=1)


def mean_and_unbiased_variance(x: Tensor, form: str) -> tuple[Tensor, Tensor]:
    """Return the means and the unbiased variances over time of x (B, C, T), T > 1: (B, C, 1) each, float32."""
    mean = mean_over_time(x, form)
    centred = _centred(x, mean, form)
    return mean, sum_over_time(centred * centred, form) / (count_frames(x, form) - 1)


def weighted_statistics(x: Tensor, weight: Tensor, eps: float, form: str) -> Tensor:
    """Return the weighted means over time, then the weighted deviations of x (B, C, T): (B, 2C, 1).

    Args:
        weight: (B, C, T), or (B, 1, T) for all channels, with sum 1 over T.
        eps: floor of the variance.
        form: see `building_form`.
    """
    mean = weighted_sum(x, weight, form)
    centred = _centred(x, mean, form)
    return ops.cat((mean, floored_root(weighted_sum(centred * centred, weight, form), eps)), axis=1)


def weighted_sum(x: Tensor, weight: Tensor, form: str) -> Tensor:
    """Return the sums (B, C, 1) over time of x (B, C, T) times a weight (B, C, T), or (B, 1, T) for all channels."""
    if weight.shape[1] == 1:
        return sum_over_time(x, form, weight.astype(x.dtype))  # in mixed precision softmax returns float16
    return sum_over_time(weight * x, form)


def _rooted(variance: Tensor, eps: float) -> Tensor:
    """Return the square root of a variance plus `eps`, with a finite slope even if both are 0."""
    return ops.sqrt(variance + eps) if eps > 0 else floored_root(variance, TINY)


def floored_root(variance: Tensor, eps: float) -> Tensor:
    """Return the square root of a variance raised to at least `eps`, which keeps the slope finite."""
    return ops.sqrt(ops.maximum(variance, eps))


def refuse_eps(pooling: str, eps: float) -> None:
    """Check that no eps is given for a pooling that takes no root of a variance.

    Raises:
        InputError: `eps` is not 0.
    """
    if eps != 0:
        raise InputError(f"pooling {pooling}: it takes no root of a variance; eps must be 0, got {eps}. Leave it out.")


def _centred(x: Tensor, mean: Tensor, form: str) -> Tensor:
    """Return x - mean, for the variance; E[x^2] - E[x]^2 would suffer cancellation in single precision."""
    return x.astype(ms.float32) - for_each_frame(mean, x, form)


class StatisticsPooling(nn.Cell):
    """Pool by mean and unbiased deviation, as x-vectors do (Snyder, Garcia-Romero, Sell, Povey, Khudanpur 2018).

    Args:
        channels: number of input channels.
        eps: added to the variance; 0 in 3D-Speaker's and mvector's StatsPool.

    Inputs:
        - **x** - (B, C, T) or (B, C, F, T), T > 1.

    Outputs:
        (B, 2 * channels), float32: the means, then the deviations.
    """

    min_frames = 2

    def __init__(self, channels: int, eps: float = 0.0) -> None:
        super().__init__()
        self.channels = channels
        self.out_channels = 2 * channels
        self.eps = eps
        self.form = building_form()

    def construct(self, x: Tensor) -> Tensor:
        x = channels_over_time(x, self.channels)
        return unbiased_statistics(x, self.form, self.eps).squeeze(2)


class Tstp(StatisticsPooling):
    """Pool by mean and unbiased deviation, as wespeaker does (its temporal statistics pooling, TSTP).

    Args:
        channels: number of input channels.
        eps: added to the variance; 1e-7 in wespeaker, 1e-8 in 3D-Speaker and mvector.

    Inputs:
        - **x** - (B, C, T) or (B, C, F, T), T > 1.

    Outputs:
        (B, 2 * channels), float32: the means, then the deviations.
    """

    def __init__(self, channels: int, eps: float = 1e-7) -> None:
        super().__init__(channels, eps)


class Tsdp(nn.Cell):
    """Pool by the unbiased deviation alone (wespeaker's temporal standard deviation pooling, TSDP).

    Args:
        channels: number of input channels.
        eps: added to the variance; 1e-7 in wespeaker, 1e-8 in 3D-Speaker.

    Inputs:
        - **x** - (B, C, T) or (B, C, F, T), T > 1.

    Outputs:
        (B, channels), float32.
    """

    min_frames = 2

    def __init__(self, channels: int, eps: float = 1e-7) -> None:
        super().__init__()
        self.channels = channels
        self.out_channels = channels
        self.eps = eps
        self.form = building_form()

    def construct(self, x: Tensor) -> Tensor:
        _, variance = mean_and_unbiased_variance(channels_over_time(x, self.channels), self.form)
        return _rooted(variance, self.eps).squeeze(2)


class Tsp(nn.Cell):
    """Pool by mean and unbiased variance, without a root (mvector's temporal statistics pooling, TSP).

    Args:
        channels: number of input channels.
        eps: must be 0, because no root is taken.

    Inputs:
        - **x** - (B, C, T) or (B, C, F, T), T > 1.

    Outputs:
        (B, 2 * channels), float32: the means, then the variances.

    Raises:
        InputError: `eps` is not 0.
    """

    min_frames = 2

    def __init__(self, channels: int, eps: float = 0.0) -> None:
        super().__init__()
        refuse_eps("tsp", eps)
        self.channels = channels
        self.out_channels = 2 * channels
        self.form = building_form()

    def construct(self, x: Tensor) -> Tensor:
        x = channels_over_time(x, self.channels)
        return ops.cat(mean_and_unbiased_variance(x, self.form), axis=1).squeeze(2)
