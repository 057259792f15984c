"""Residual stages with squeeze-excitation, as voxceleb_trainer's networks have them."""

from dataclasses import dataclass

from mindspore import Tensor, nn, ops

from mindvox.config.option import option
from mindvox.layers.conv import Conv2d
from mindvox.layers.norm import batch_norm_2d
from mindvox.layers.se import SEBlock2d

REDUCTION = 8  # of the squeeze-excitation's channels


@dataclass
class StageOptions:
    """Keys of the section `model` for the sizes of four stages."""

    layer1_channels: int = option(32, "channels of the first stage", minimum=REDUCTION)
    layer2_channels: int = option(64, "channels of the second stage", minimum=REDUCTION)
    layer3_channels: int = option(128, "channels of the third stage", minimum=REDUCTION)
    layer4_channels: int = option(256, "channels of the fourth stage", minimum=REDUCTION)
    layer1_blocks: int = option(3, "residual blocks of the first stage", minimum=1)
    layer2_blocks: int = option(4, "residual blocks of the second stage", minimum=1)
    layer3_blocks: int = option(6, "residual blocks of the third stage", minimum=1)
    layer4_blocks: int = option(3, "residual blocks of the fourth stage", minimum=1)

    def stages(self) -> list[tuple[int, int]]:
        """Return channels and number of blocks of each stage."""
        channels = self.layer1_channels, self.layer2_channels, self.layer3_channels, self.layer4_channels
        depths = self.layer1_blocks, self.layer2_blocks, self.layer3_blocks, self.layer4_blocks
        return list(zip(channels, depths, strict=True))


class SEBasicBlock(nn.Cell):
    """Two 3x3 convolutions with squeeze-excitation and a residual connection.

    Where it departs from a ResNet's block: the first ReLU stands before its batch norm.

    Args:
        in_channels: channels of the input.
        channels: channels of the output.
        stride: over frequency and time.

    Inputs:
        - **x** - (B, in_channels, F, T).

    Outputs:
        (B, channels, ceil(F / stride), ceil(T / stride)).
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, channels, 3, stride=stride, bias=False)
        self.norm1 = batch_norm_2d(channels)
        self.conv2 = Conv2d(channels, channels, 3, bias=False)
        self.norm2 = batch_norm_2d(channels)
        self.se = SEBlock2d(channels, REDUCTION)
        self.has_shortcut = stride > 1 or in_channels != channels
        if self.has_shortcut:
            self.shortcut = Conv2d(in_channels, channels, stride=stride, bias=False)
            self.shortcut_norm = batch_norm_2d(channels)

    def construct(self, x: Tensor) -> Tensor:
        y = self.norm1(ops.relu(self.conv1(x)))
        y = self.se(self.norm2(self.conv2(y)))
        if self.has_shortcut:
            x = self.shortcut_norm(self.shortcut(x))
        return ops.relu(y + x)


def stages(in_channels: int, options: StageOptions, strides: tuple[int, ...]) -> nn.CellList:
    """Return four stages of `SEBasicBlock`; the first block of each has its stride.

    Args:
        in_channels: channels before the first stage.
        options: channels and numbers of blocks.
        strides: of each stage, over frequency and time.
    """
    built = nn.CellList()
    for (channels, num_blocks), stride in zip(options.stages(), strides, strict=True):
        first = SEBasicBlock(in_channels, channels, stride)
        others = [SEBasicBlock(channels, channels, 1) for _ in range(num_blocks - 1)]
        built.append(nn.SequentialCell([first, *others]))
        in_channels = channels
    return built
