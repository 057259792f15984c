"""What residual networks over frequency and time have before the pooling, whatever their blocks are."""

from collections.abc import Callable, Sequence

from mindspore import Tensor, nn, ops

from mindvox.layers.conv import Conv2d
from mindvox.layers.norm import batch_norm_2d

STRIDES = (1, 2, 2, 2)  # of the four layers, over frequency and time
TOTAL_STRIDE = 8


class Trunk(nn.Cell):
    """A 3x3 convolution and four layers of blocks; from the second layer on each halves frequency and time.

    Args:
        channels: channels of the first layer's blocks; each further layer has twice as many.
        blocks: what builds a block of each layer from (in_channels, channels of the layer, stride); it says in
            `out_channels` what it gives.
        num_blocks: blocks of each layer.

    Inputs:
        - **feats** - (B, T, F).

    Outputs:
        The layers' outputs, (B, sizes[i], ceil(F / 2^i), ceil(T / 2^i)) for i = 0 to 3.
    """

    def __init__(
        self, channels: int, blocks: Sequence[Callable[[int, int, int], nn.Cell]], num_blocks: Sequence[int]
    ) -> None:
        super().__init__()
        self.conv = Conv2d(1, channels, 3, bias=False)
        self.norm = batch_norm_2d(channels)
        in_channels, layers, self.sizes = channels, [], []
        for index, (block, depth) in enumerate(zip(blocks, num_blocks, strict=True)):
            layer = []
            for position in range(depth):
                layer.append(block(in_channels, channels * 2**index, 1 if position else STRIDES[index]))
                in_channels = layer[-1].out_channels
            layers.append(nn.SequentialCell(layer))
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
