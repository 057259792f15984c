"""ResNetSE as mvector builds it, so that its weights fit: a ResNet of bottlenecks (He et al. 2016, arXiv:1512.03385)
with squeeze-excitation (Hu et al. 2018, arXiv:1709.01507).

Where it departs from a ResNet-50: bottlenecks widen their channels by 2, not 4; there is no max pooling; the embedding
lies between batch norms. mvector's own code takes frames whose size is a multiple of 8; this takes any size F, with
ceil(F / 8) rows before the pooling.
"""

from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.layers.conv import Conv1d, Conv2d
from mindvox.layers.norm import batch_norm, batch_norm_2d
from mindvox.layers.pooling import create_pooling
from mindvox.layers.se import SEBlock2d
from mindvox.layers.se_resnet import REDUCTION, StageOptions
from mindvox.registry import POOLINGS

EXPANSION = 2
STRIDES = (1, 2, 2, 2)  # of the stages, over frequency and time
TOTAL_STRIDE = 8


class SEBottleneck(nn.Cell):
    """A 3x3 convolution between two 1x1 ones, squeeze-excitation, and a residual connection.

    Args:
        in_channels: channels of the input.
        channels: channels inside; the output has twice as many.
        stride: of the 3x3 convolution, over frequency and time.

    Inputs:
        - **x** - (B, in_channels, F, T).

    Outputs:
        (B, 2 * channels, ceil(F / stride), ceil(T / stride)).
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = EXPANSION * channels
        self.conv1 = Conv2d(in_channels, channels, bias=False)
        self.norm1 = batch_norm_2d(channels)
        self.conv2 = Conv2d(channels, channels, 3, stride=stride, bias=False)
        self.norm2 = batch_norm_2d(channels)
        self.conv3 = Conv2d(channels, out_channels, bias=False)
        self.norm3 = batch_norm_2d(out_channels)
        self.se = SEBlock2d(out_channels, REDUCTION)
        self.has_shortcut = stride > 1 or in_channels != out_channels
        if self.has_shortcut:
            self.shortcut = Conv2d(in_channels, out_channels, stride=stride, bias=False)
            self.shortcut_norm = batch_norm_2d(out_channels)

    def construct(self, x: Tensor) -> Tensor:
        y = ops.relu(self.norm1(self.conv1(x)))
        y = ops.relu(self.norm2(self.conv2(y)))
        y = self.se(self.norm3(self.conv3(y)))
        if self.has_shortcut:
            x = self.shortcut_norm(self.shortcut(x))
        return ops.relu(y + x)


class ResNetSE(nn.Cell):
    """mvector's ResNetSE: frames to one embedding an utterance.

    The last batch norm makes an embedding in training depend on the whole batch.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, in_channels), T >= 9.

    Outputs:
        Embeddings, (B, emb_size), not normalised in length.
    """

    @dataclass
    class Options(StageOptions):
        """Keys of the section `model`."""

        in_channels: int = option(80, "size of a feature frame", minimum=1)
        emb_size: int = option(192, "size of an embedding", minimum=1)
        pooling: str = option("asp", "pooling over time; mvector has asp, sap, tap, tsp", choices=tuple(POOLINGS))
        pooling_eps: float = option(0.0, "keeps variances in the pooling above 0; 0: the pooling's own", minimum=0)

    min_frames = 9  # the strides leave two of them; a deviation needs that many

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        channels = options.layer1_channels
        self.stem = Conv2d(1, channels, 3, bias=False)
        self.stem_norm = batch_norm_2d(channels)
        layers = []
        for (width, num_blocks), stride in zip(options.stages(), STRIDES, strict=True):
            blocks = [SEBottleneck(channels, width, stride)]
            channels = EXPANSION * width
            blocks += [SEBottleneck(channels, width, 1) for _ in range(num_blocks - 1)]
            layers.append(nn.SequentialCell(blocks))
        self.layers = nn.CellList(layers)
        num_rows = -(-options.in_channels // TOTAL_STRIDE)
        self.pool = create_pooling(options.pooling, channels * num_rows, options.pooling_eps)
        self.pool_norm = batch_norm(self.pool.out_channels)
        self.linear = Conv1d(self.pool.out_channels, options.emb_size)
        self.norm = batch_norm(options.emb_size)

    def construct(self, feats: Tensor) -> Tensor:
        x = feats.swapaxes(1, 2).expand_dims(1)  # (B, 1, F, T)
        x = ops.relu(self.stem_norm(self.stem(x)))
        for layer in self.layers:
            x = layer(x)
        x = self.pool_norm(self.pool(x))
        return self.norm(self.linear(x.expand_dims(2)).squeeze(2))
