"""ResNetSE as mvector builds it, so that its weights fit: a ResNet of bottlenecks (He et al. 2016, arXiv:1512.03385)
with squeeze-excitation (Hu et al. 2018, arXiv:1709.01507).

Where it departs from a ResNet-50: bottlenecks multiply their channels by 2, not 4; there is no max pooling; there is a
batch norm before and after the embedding layer. mvector's own code takes only feature sizes that are multiples of 8;
this one takes any size F and leaves ceil(F / 8) rows before the pooling.
"""

from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.layers.conv import Conv1d, Conv2d
from mindvox.layers.norm import batch_norm, batch_norm_2d
from mindvox.layers.pooling import create_pooling
from mindvox.layers.residual import Bottleneck
from mindvox.layers.se import SEBlock2d
from mindvox.layers.se_resnet import REDUCTION, StageOptions, stages
from mindvox.layers.trunk import STRIDES, num_rows
from mindvox.registry import POOLINGS

EXPANSION = 2


class SEBottleneck(Bottleneck):
    """A 3x3 convolution between two 1x1 ones, squeeze-excitation, and a residual connection.

    Args:
        in_channels, width, stride: see `Bottleneck`; the output has 2 * width channels.
    """

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__(in_channels, width, stride, EXPANSION, SEBlock2d(EXPANSION * width, REDUCTION))


class ResNetSE(nn.Cell):
    """mvector's ResNetSE: frames to one embedding per utterance.

    In training the last batch norm makes each embedding depend on the whole batch.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, in_channels), T >= 9.

    Outputs:
        Embeddings, (B, emb_size), not length-normalised.
    """

    @dataclass
    class Options(StageOptions):
        """Keys of the section `model`."""

        in_channels: int = option(80, "feature size", minimum=1)
        emb_size: int = option(192, "embedding size", minimum=1)
        pooling: str = option("asp", "pooling over time; mvector has asp, sap, tap, tsp", choices=tuple(POOLINGS))
        pooling_eps: float = option(
            0.0, "constant added to variances in the pooling; 0: the pooling's default", minimum=0
        )

    min_frames = 9  # the strides leave 2 of 9 frames, the fewest for a deviation

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        channels = options.layer1_channels
        self.stem = Conv2d(1, channels, 3, bias=False)
        self.stem_norm = batch_norm_2d(channels)
        self.layers, channels = stages(channels, options, STRIDES, SEBottleneck)
        self.pool = create_pooling(options.pooling, channels * num_rows(options.in_channels), options.pooling_eps)
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
