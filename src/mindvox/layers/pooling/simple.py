"""Poolings without parameters that give one number per channel: mean and maximum."""

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvox.layers.building import building_form
from mindvox.layers.over_time import mean_over_time
from mindvox.layers.pooling.statistics import channels_over_time, refuse_eps


class MeanPooling(nn.Cell):
    """Pool by the mean over time (temporal average pooling, TAP).

    Args:
        channels: number of input channels.
        eps: must be 0, because there is no variance.

    Inputs:
        - **x** - (B, C, T) or (B, C, F, T).

    Outputs:
        (B, channels), float32.

    Raises:
        InputError: `eps` is not 0.
    """

    def __init__(self, channels: int, eps: float = 0.0) -> None:
        super().__init__()
        refuse_eps("tap", eps)
        self.channels = channels
        self.out_channels = channels
        self.form = building_form()

    def construct(self, x: Tensor) -> Tensor:
        return mean_over_time(channels_over_time(x, self.channels), self.form).squeeze(2)


class MaxPooling(nn.Cell):
    """Pool by the maximum over time, as VGGVox does for its embedding.

    Source: Nagrani et al. 2017, arXiv:1706.08612. If several frames have the maximum, they share the gradient.

    Args:
        channels: number of input channels.
        eps: must be 0, because there is no variance.

    Inputs:
        - **x** - (B, C, T) or (B, C, F, T).

    Outputs:
        (B, channels), float32.

    Raises:
        InputError: `eps` is not 0.
    """

    def __init__(self, channels: int, eps: float = 0.0) -> None:
        super().__init__()
        refuse_eps("max", eps)
        self.channels = channels
        self.out_channels = channels

    def construct(self, x: Tensor) -> Tensor:
        return ops.ReduceMax()(channels_over_time(x, self.channels).astype(ms.float32), 2)
