"""Four residual stages with configurable sizes, and voxceleb_trainer's block with squeeze-excitation."""

from dataclasses import dataclass
from typing import Optional

from mindspore import Tensor, nn, ops

from mindvox.config.option import option
from mindvox.layers.conv import Conv2d
from mindvox.layers.norm import batch_norm_2d
from mindvox.layers.residual import Builder, ResidualBlock, stage
from mindvox.layers.se import SEBlock2d

REDUCTION = 8  # a squeeze-excitation of C channels has C // REDUCTION inner channels


@dataclass
class StageOptions:
    """Keys of the section `model` for the sizes of four stages."""

    layer1_channels: int = option(32, "number of channels of the first stage", minimum=REDUCTION)
    layer2_channels: int = option(64, "number of channels of the second stage", minimum=REDUCTION)
    layer3_channels: int = option(128, "number of channels of the third stage", minimum=REDUCTION)
    layer4_channels: int = option(256, "number of channels of the fourth stage", minimum=REDUCTION)
    layer1_blocks: int = option(3, "number of residual blocks of the first stage", minimum=1)
    layer2_blocks: int = option(4, "number of residual blocks of the second stage", minimum=1)
    layer3_blocks: int = option(6, "number of residual blocks of the third stage", minimum=1)
    layer4_blocks: int = option(3, "number of residual blocks of the fourth stage", minimum=1)

    def stages(self) -> list[tuple[int, int]]:
        """Return the number of channels and of blocks of each stage."""
        channels = self.layer1_channels, self.layer2_channels, self.layer3_channels, self.layer4_channels
        depths = self.layer1_blocks, self.layer2_blocks, self.layer3_blocks, self.layer4_blocks
        return list(zip(channels, depths, strict=True))


class SEBasicBlock(ResidualBlock):
    """Two 3x3 convolutions with squeeze-excitation and a residual connection.

    Where it departs from a ResNet's block: the first ReLU comes before the batch norm.

    Args:
        in_channels: number of input channels.
        channels: number of output channels.
        stride: stride over frequency and time.

    Inputs:
        - **x** - (B, in_channels, F, T).

    Outputs:
        (B, channels, ceil(F / stride), ceil(T / stride)).
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__(in_channels, channels, stride)
        self.conv1 = Conv2d(in_channels, channels, 3, stride=stride, bias=False)
        self.norm1 = batch_norm_2d(channels)
        self.conv2 = Conv2d(channels, channels, 3, bias=False)
        self.norm2 = batch_norm_2d(channels)
        self.se = SEBlock2d(channels, REDUCTION)

    def construct(self, x: Tensor) -> Tensor:
        y = self.norm1(ops.relu(self.conv1(x)))
        return self.add_input(self.se(self.norm2(self.conv2(y))), x)


def stages(
    in_channels: int,
    options: StageOptions,
    strides: tuple[int, ...],
    block: Builder = SEBasicBlock,
    first: Optional[Builder] = None,
) -> tuple[nn.CellList, int]:
    """Return four stages of residual blocks, and the number of their output channels.

    Args:
        in_channels: number of input channels of the first stage.
        options: numbers of channels and of blocks.
        strides: stride of the first block of each stage, over frequency and time.
        block, first: see `stage`.
    """
    built = []
    for (channels, num_blocks), stride in zip(options.stages(), strides, strict=True):
        made, in_channels = stage(block, in_channels, channels, stride, num_blocks, first)
        built.append(made)
    return nn.CellList(built), in_channels
