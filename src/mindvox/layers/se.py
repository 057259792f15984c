"""Squeeze and excitation (Hu et al. 2018, arXiv:1709.01507)."""

from typing import Optional

from mindspore import Tensor, nn, ops

from mindvox.layers.building import building_form
from mindvox.layers.conv import Conv1d
from mindvox.layers.over_time import for_each_frame, mean_over_time

BOTTLENECK = 128


class SEBlock(nn.Cell):
    """Scale each channel by a gate computed from the utterance's mean.

    Args:
        channels: number of input and output channels.
        bottleneck: number of channels between the two products.

    Inputs:
        - **x** - (B, channels, T).
        - **mask** - None, or (B, 1, T) from `length_mask`: the mean ignores padding.

    Outputs:
        (B, channels, T).
    """

    def __init__(self, channels: int, bottleneck: int = BOTTLENECK) -> None:
        super().__init__()
        self.form = building_form()
        self.conv1 = Conv1d(channels, bottleneck)
        self.conv2 = Conv1d(bottleneck, channels)

    def construct(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        gate = mean_over_time(x, self.form, mask).astype(x.dtype)
        gate = ops.sigmoid(self.conv2(ops.relu(self.conv1(gate))))
        return x * for_each_frame(gate, x, self.form)


class SEBlock2d(nn.Cell):
    """Scale each channel of a map by a gate computed from its mean over frequency and time.

    Args:
        channels: number of input and output channels.
        reduction: the two products have channels // reduction channels between them.

    Inputs:
        - **x** - (B, channels, F, T).

    Outputs:
        (B, channels, F, T).
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        if not 1 <= reduction <= channels:
            raise ValueError(f"`reduction` must be 1 to {channels}, the channels, got {reduction}.")
        super().__init__()
        self.block = SEBlock(channels, channels // reduction)

    def construct(self, x: Tensor) -> Tensor:
        flat = x.reshape(x.shape[0], x.shape[1], -1)  # (B, C, F * T)
        return self.block(flat).reshape(x.shape)
