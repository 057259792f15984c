"""Res2 blocks of two-dimensional convolutions (Gao et al. 2019, arXiv:1904.01169), and ERes2Net's fusion of maps."""

from mindspore import Tensor, nn, ops

from mindvox.layers.activation import ClippedReLU, silu, tanh
from mindvox.layers.conv import Conv2d
from mindvox.layers.norm import batch_norm_2d
from mindvox.layers.residual import ResidualBlock

REDUCTION = 4  # a fusion of C channels has C // REDUCTION inner channels
FULL_WIDTH = 64  # base_width with which a group has as many channels as the block's layer


class AttentionalFusion(nn.Cell):
    """Add two maps, weighted for each channel, bin and frame (Chen et al. 2023, arXiv:2305.12838).

    Args:
        channels: number of channels of each map, at least 4.

    Inputs:
        - **x** - (B, channels, F, T).
        - **y** - the same shape.

    Outputs:
        (1 + w) x + (1 - w) y, the same shape; w in (-1, 1) is computed from x and y.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < REDUCTION:
            raise ValueError(f"`channels` must be at least {REDUCTION}, got {channels}.")
        inner = channels // REDUCTION
        self.reduce = Conv2d(2 * channels, inner)
        self.reduce_norm = batch_norm_2d(inner)
        self.expand = Conv2d(inner, channels)
        self.expand_norm = batch_norm_2d(channels)

    def construct(self, x: Tensor, y: Tensor) -> Tensor:
        hidden = silu(self.reduce_norm(self.reduce(ops.cat((x, y), axis=1))))
        weight = tanh(self.expand_norm(self.expand(hidden)))
        return x + y + weight * (x - y)


class Res2Block(ResidualBlock):
    """1x1 convolution, 3x3 convolutions of groups of channels, 1x1 convolution, with a residual connection.

    The output of each group is added to the next group before its convolution. Activations are limited to 20.

    Args:
        in_channels: number of input channels.
        planes: number of channels of the block's layer.
        stride: stride of the first convolution, bins and frames.
        base_width: number of channels of a group, per 64 planes.
        scale: number of groups.
        expansion: number of output channels, as a multiple of `planes`.
        fuses: combine groups by `AttentionalFusion` instead of a sum.
        passes_last: pass the last group unchanged, without a sum or a convolution.

    Inputs:
        - **x** - (B, in_channels, F, T).

    Outputs:
        (B, expansion * planes, ceil(F / stride), ceil(T / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int,
        base_width: int,
        scale: int,
        expansion: int,
        fuses: bool = False,
        passes_last: bool = False,
    ) -> None:
        width = planes * base_width // FULL_WIDTH
        if width < 1:
            raise ValueError(f"`planes` times `base_width` must be at least {FULL_WIDTH}, got {planes * base_width}.")
        super().__init__(in_channels, expansion * planes, stride)
        self.scale, self.fuses, self.passes_last = scale, fuses, passes_last
        self.num_convs = scale - 1 if passes_last else scale
        self.conv1 = Conv2d(in_channels, scale * width, stride=stride, bias=False)
        self.norm1 = batch_norm_2d(scale * width)
        self.convs = nn.CellList([Conv2d(width, width, 3, bias=False) for _ in range(self.num_convs)])
        self.norms = nn.CellList([batch_norm_2d(width) for _ in range(self.num_convs)])
        if fuses:
            self.fusions = nn.CellList([AttentionalFusion(width) for _ in range(self.num_convs - 1)])
        self.conv3 = Conv2d(scale * width, self.out_channels, bias=False)
        self.norm3 = batch_norm_2d(self.out_channels)
        self.clip = ClippedReLU()

    def construct(self, x: Tensor) -> Tensor:
        y = self.norm3(self.conv3(self.convolve_groups(self.clip(self.norm1(self.conv1(x))))))
        return self.clip(self.sum_with_input(y, x))

    def convolve_groups(self, x: Tensor) -> Tensor:
        groups = ops.chunk(x, self.scale, axis=1)
        y = groups[0]
        outputs = []
        for index in range(self.num_convs):
            if index > 0:
                y = self.fusions[index - 1](y, groups[index]) if self.fuses else y + groups[index]
            y = self.clip(self.norms[index](self.convs[index](y)))
            outputs.append(y)
        if self.passes_last:
            outputs.append(groups[self.scale - 1])
        return ops.cat(outputs, axis=1)
