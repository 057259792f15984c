"""Residual blocks of two-dimensional convolutions (He et al. 2016, arXiv:1512.03385), which several models share."""

from typing import Optional

from mindspore import Tensor, nn, ops

from mindvox.layers.conv import Conv2d, Size
from mindvox.layers.norm import batch_norm_2d

EXPANSION = 4  # channels of a bottleneck's output, as a multiple of its width


class ResidualBlock(nn.Cell):
    """What blocks share: the residual connection.

    Args:
        in_channels, out_channels: channels of the block's input and output.
        stride: bins and frames. Where it or the channels change the shape, the input passes a 1x1 convolution and a
            batch norm before the sum.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: Size) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.has_shortcut = in_channels != out_channels or stride not in (1, (1, 1))
        if self.has_shortcut:
            self.shortcut = Conv2d(in_channels, out_channels, stride=stride, bias=False)
            self.shortcut_norm = batch_norm_2d(out_channels)

    def add_input(self, y: Tensor, x: Tensor) -> Tensor:
        """Return ReLU(y + x), x the block's input."""
        if self.has_shortcut:
            x = self.shortcut_norm(self.shortcut(x))
        return ops.relu(y + x)


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions with a residual connection.

    Args:
        in_channels: channels of the input.
        width: channels of the output.
        stride: of the first convolution, bins and frames.
        attention: scales the output of the second batch norm before the sum; None: nothing does.

    Inputs:
        - **x** - (B, in_channels, F, T).

    Outputs:
        (B, width, F', T'), each size divided by the stride and rounded up.
    """

    def __init__(self, in_channels: int, width: int, stride: Size = 1, attention: Optional[nn.Cell] = None) -> None:
        super().__init__(in_channels, width, stride)
        self.conv1 = Conv2d(in_channels, width, 3, stride=stride, bias=False)
        self.norm1 = batch_norm_2d(width)
        self.conv2 = Conv2d(width, width, 3, bias=False)
        self.norm2 = batch_norm_2d(width)
        self.attention = attention

    def construct(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(ops.relu(self.norm1(self.conv1(x)))))
        if self.attention is not None:
            y = self.attention(y)
        return self.add_input(y, x)


class Bottleneck(ResidualBlock):
    """A 3x3 convolution between two 1x1 ones, with a residual connection. The 3x3 one has the stride.

    Args:
        in_channels: channels of the input.
        width: channels inside; the output has four times as many.
        stride: bins and frames.

    Inputs:
        - **x** - (B, in_channels, F, T).

    Outputs:
        (B, 4 * width, F', T'), each size divided by the stride and rounded up.
    """

    def __init__(self, in_channels: int, width: int, stride: Size = 1) -> None:
        out_channels = EXPANSION * width
        super().__init__(in_channels, out_channels, stride)
        self.conv1 = Conv2d(in_channels, width, bias=False)
        self.norm1 = batch_norm_2d(width)
        self.conv2 = Conv2d(width, width, 3, stride=stride, bias=False)
        self.norm2 = batch_norm_2d(width)
        self.conv3 = Conv2d(width, out_channels, bias=False)
        self.norm3 = batch_norm_2d(out_channels)

    def construct(self, x: Tensor) -> Tensor:
        y = ops.relu(self.norm1(self.conv1(x)))
        y = ops.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        return self.add_input(y, x)
