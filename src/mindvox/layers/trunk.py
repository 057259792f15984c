"""The part before the pooling that residual networks over frequency and time share, for any kind of block."""

from collections.abc import Sequence
from dataclasses import dataclass

from mindspore import Tensor, nn, ops

from mindvox.config.option import option
from mindvox.layers.conv import Conv2d
from mindvox.layers.norm import batch_norm_2d
from mindvox.layers.residual import Builder, stage

STRIDES = (1, 2, 2, 2)  # stride of each of the four layers, over frequency and time
TOTAL_STRIDE = 8


@dataclass
class OwnBlocks:
    """Keys of the section `model` for sizes other than the published ones."""

    layer1_blocks: int = option(0, "number of blocks in the first layer, for depth 0", minimum=0)
    layer2_blocks: int = option(0, "number of blocks in the second layer, for depth 0", minimum=0)
    layer3_blocks: int = option(0, "number of blocks in the third layer, for depth 0", minimum=0)
    layer4_blocks: int = option(0, "number of blocks in the fourth layer, for depth 0", minimum=0)

    @property
    def own_blocks(self) -> tuple[int, ...]:
        """Number of blocks of each layer."""
        return self.layer1_blocks, self.layer2_blocks, self.layer3_blocks, self.layer4_blocks


class Trunk(nn.Cell):
    """A 3x3 convolution and four layers of blocks; the second to fourth layer halve frequency and time.

    Args:
        channels: number of channels of the first layer's blocks; each further layer doubles it.
        blocks: builder of the blocks of each layer.
        num_blocks: number of blocks of each layer.

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
    """Return the number of frequency rows that a trunk leaves, for this feature size."""
    return -(-in_channels // TOTAL_STRIDE)
