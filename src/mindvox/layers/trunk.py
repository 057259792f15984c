"""What residual networks over frequency and time have before the pooling, whatever their blocks are."""

from collections.abc import Sequence
from dataclasses import dataclass

from mindspore import Tensor, nn, ops

from mindvox.config.option import option
from mindvox.layers.conv import Conv2d
from mindvox.layers.norm import batch_norm_2d
from mindvox.layers.residual import Builder, stage

STRIDES = (1, 2, 2, 2)  # of the four layers, over frequency and time
TOTAL_STRIDE = 8


@dataclass
class OwnBlocks:
    """Keys of the section `model` for a size that nobody has published."""

    layer1_blocks: int = option(0, "blocks of the first layer, for depth 0", minimum=0)
    layer2_blocks: int = option(0, "blocks of the second layer, for depth 0", minimum=0)
    layer3_blocks: int = option(0, "blocks of the third layer, for depth 0", minimum=0)
    layer4_blocks: int = option(0, "blocks of the fourth layer, for depth 0", minimum=0)

    @property
    def own_blocks(self) -> tuple[int, ...]:
        """Blocks of each layer."""
        return self.layer1_blocks, self.layer2_blocks, self.layer3_blocks, self.layer4_blocks


class Trunk(nn.Cell):
    """A 3x3 convolution and four layers of blocks; from the second layer on each halves frequency and time.

    Args:
        channels: channels of the first layer's blocks; each further layer has twice as many.
        blocks: what builds a block of each layer.
        num_blocks: blocks of each layer.

    Inputs:
        - **feats** - (B, T, F).

    Outputs:
        The layers' outputs, (B, sizes[i], ceil(F / 2^i), ceil(T / 2^i)) for i = 0 to 3.
    """

    def __init__(self, channels: int, blocks: Sequence[Builder], num_blocks: Sequence[int]) -> None:
        super().__init__()
        self.conv = Conv2d(1, channels, 3, bias=False)
        self.norm = batch_norm_2d(channels)
        in_channels, layers, self.sizes = channels, [], []
        for index, (block, depth) in enumerate(zip(blocks, num_blocks, strict=True)):
            layer, in_channels = stage(block, in_channels, channels * 2**index, STRIDES[index], depth)
            layers.append(layer)
            self.sizes.append(in_channels)
        self.layers = nn.CellList(layers)

    def construct(self, feats: Tensor) -> tuple[Tensor, ...]:
        x = feats.swapaxes(1, 2).expand_dims(1)  # (B, 1, F, T)
        x = ops.relu(self.norm(self.conv(x)))
        outputs = []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return tuple(outputs)


def num_rows(in_channels: int) -> int:
    """Return the rows of frequency that a trunk leaves of frames of this size."""
    return -(-in_channels // TOTAL_STRIDE)
