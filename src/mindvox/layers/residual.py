"""Residual blocks of two-dimensional convolutions (He et al. 2016, arXiv:1512.03385), shared by several models."""

from collections.abc import Callable
from typing import Optional

from mindspore import Tensor, nn, ops

from mindvox.layers.conv import Conv2d, Size
from mindvox.layers.norm import batch_norm_2d

EXPANSION = 4  # output channels of a bottleneck, as a multiple of its width


class ResidualBlock(nn.Cell):
    """Base class of blocks: the residual connection.

    Args:
        in_channels: number of input channels.
        out_channels: number of output channels.
        stride: stride of the block, bins and frames. If the block changes the shape, the input passes a 1x1 convolution
            and a batch norm before the sum.
        always: apply that convolution and batch norm even if the shape stays the same.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: Size, always: bool = False) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.has_shortcut = always or in_channels != out_channels or stride not in (1, (1, 1))
        if self.has_shortcut:
            self.shortcut = Conv2d(in_channels, out_channels, stride=stride, bias=False)
            self.shortcut_norm = batch_norm_2d(out_channels)

    def sum_with_input(self, y: Tensor, x: Tensor) -> Tensor:
        """Return the block's output y plus its input x."""
        if self.has_shortcut:
            x = self.shortcut_norm(self.shortcut(x))
        return y + x

    def add_input(self, y: Tensor, x: Tensor) -> Tensor:
        """Return ReLU of the block's output y plus its input x."""
        return ops.relu(self.sum_with_input(y, x))


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions with a residual connection.

    Args:
        in_channels: number of input channels.
        width: number of output channels.
        stride: stride of the first convolution, bins and frames.
        attention: scales the output of the second batch norm before the sum; None: no scaling.

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
    """1x1 convolution, 3x3 convolution with the stride, 1x1 convolution, with a residual connection.

    Args:
        in_channels: number of input channels.
        width: number of channels of the 3x3 convolution.
        stride: stride of the 3x3 convolution, bins and frames.
        expansion: number of output channels, as a multiple of `width`.
        attention: scales the output of the third batch norm before the sum; None: no scaling.

    Inputs:
        - **x** - (B, in_channels, F, T).

    Outputs:
        (B, expansion * width, F', T'), each size divided by the stride and rounded up.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: Size = 1,
        expansion: int = EXPANSION,
        attention: Optional[nn.Cell] = None,
    ) -> None:
        out_channels = expansion * width
        super().__init__(in_channels, out_channels, stride)
        self.conv1 = Conv2d(in_channels, width, bias=False)
        self.norm1 = batch_norm_2d(width)
        self.conv2 = Conv2d(width, width, 3, stride=stride, bias=False)
        self.norm2 = batch_norm_2d(width)
        self.conv3 = Conv2d(width, out_channels, bias=False)
        self.norm3 = batch_norm_2d(out_channels)
        self.attention = attention

    def construct(self, x: Tensor) -> Tensor:
        y = ops.relu(self.norm1(self.conv1(x)))
        y = ops.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        if self.attention is not None:
            y = self.attention(y)
        return self.add_input(y, x)


Builder = Callable[[int, int, int], ResidualBlock]
"""Builds a block from its number of input channels, the channels of its stage, and its stride."""


def stage(
    block: Builder, in_channels: int, channels: int, stride: int, num_blocks: int, first: Optional[Builder] = None
) -> tuple[nn.SequentialCell, int]:
    """Return a sequence of blocks, the first with the stride, and the number of their output channels.

    Args:
        block: builds a block.
        in_channels: number of input channels of the stage.
        channels: number of channels of the stage, see `Builder`.
        stride: stride of the first block, bins and frames.
        num_blocks: number of blocks.
        first: builds the first block; None: `block`.
    """
    blocks = [(first or block)(in_channels, channels, stride)]
    while len(blocks) < num_blocks:
        blocks.append(block(blocks[-1].out_channels, channels, 1))
    return nn.SequentialCell(blocks), blocks[-1].out_channels
