"""The bottleneck of Res2Net (Gao et al. 2019, arXiv:1904.01169), with or without squeeze-excitation."""

from mindspore import Tensor, nn, ops

from mindvox.layers.conv import Conv2d
from mindvox.layers.norm import batch_norm_2d
from mindvox.layers.pool2d import AvgPool2d
from mindvox.layers.res2 import FULL_WIDTH
from mindvox.layers.residual import EXPANSION, ResidualBlock
from mindvox.layers.se import SEBlock2d


class Res2Bottleneck(ResidualBlock):
    """1x1 convolution, 3x3 convolutions of groups of channels, 1x1 convolution, with a residual connection.

    The output of each group is added to the next group before its convolution, and the last group passes unchanged. The
    first block of a stage has no sums between groups; its 3x3 convolutions have the stride, and an average pooling with
    the same stride is applied to the last group.

    Args:
        in_channels: number of input channels.
        channels: number of channels of the block's stage; the output has four times as many.
        stride: stride over frequency and time; 1 unless `is_first`.
        is_first: the block is the first of its stage.
        base_width: number of channels of a group, per 64 `channels`.
        scale: number of groups.
        reduction: reduction of the squeeze-excitation before the residual sum; 0: there is none.

    Inputs:
        - **x** - (B, in_channels, F, T).

    Outputs:
        (B, 4 * channels, ceil(F / stride), ceil(T / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        is_first: bool,
        base_width: int,
        scale: int,
        reduction: int = 0,
    ) -> None:
        width, out_channels = channels * base_width // FULL_WIDTH, EXPANSION * channels
        if width < 1 or scale < 2:
            raise ValueError(
                f"`channels` times `base_width` must be at least {FULL_WIDTH} and `scale` at least 2, got {channels}, "
                f"{base_width} and {scale}."
            )
        if not is_first and (stride > 1 or in_channels != out_channels):
            raise ValueError(
                f"`stride` must be 1 and `in_channels` {out_channels} unless a block is the first of its stage, got "
                f"{stride} and {in_channels}."
            )
        super().__init__(in_channels, out_channels, stride, always=is_first)
        self.scale, self.is_first = scale, is_first
        self.conv1 = Conv2d(in_channels, scale * width, bias=False)
        self.norm1 = batch_norm_2d(scale * width)
        self.convs = nn.CellList([Conv2d(width, width, 3, stride=stride, bias=False) for _ in range(scale - 1)])
        self.norms = nn.CellList([batch_norm_2d(width) for _ in range(scale - 1)])
        self.conv3 = Conv2d(scale * width, out_channels, bias=False)
        self.norm3 = batch_norm_2d(out_channels)
        self.se = SEBlock2d(out_channels, reduction) if reduction > 0 else None
        if is_first:
            self.average = AvgPool2d(3, stride, pad=1)

    def construct(self, x: Tensor) -> Tensor:
        groups = ops.chunk(ops.relu(self.norm1(self.conv1(x))), self.scale, axis=1)
        y, results = groups[0], []
        for index in range(self.scale - 1):
            if index > 0:
                y = groups[index] if self.is_first else y + groups[index]
            y = ops.relu(self.norms[index](self.convs[index](y)))
            results.append(y)
        last = groups[self.scale - 1]
        results.append(self.average(last) if self.is_first else last)
        y = self.norm3(self.conv3(ops.cat(results, axis=1)))
        if self.se is not None:
            y = self.se(y)
        return self.add_input(y, x)
