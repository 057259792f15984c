"""Res2Net (Gao et al. 2019, arXiv:1904.01169) as mvector builds it, so that its weights fit.

Where it departs from the paper: the first convolution has a stride of 3 and loses bins and frames at the edges, all
sizes are halved, and there is a batch norm before and after the embedding layer. mvector's own code takes 64 to 95
bins; this one takes any number from 5 on.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from mindspore import Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.layers.conv import Conv1d, Conv2d
from mindvox.layers.norm import batch_norm, batch_norm_2d
from mindvox.layers.pool2d import MaxPool2d
from mindvox.layers.pooling import create_pooling, min_pooled_frames
from mindvox.layers.res2 import FULL_WIDTH
from mindvox.layers.res2_bottleneck import Res2Bottleneck
from mindvox.layers.se_resnet import StageOptions, stages
from mindvox.layers.trunk import STRIDES
from mindvox.registry import POOLINGS

STEM_SIZE, STEM_STRIDE = 7, 3  # bins and frames
STEM_SEEN = STEM_SIZE - 2  # fewest bins or frames that the first convolution takes: it pads by one on each side
LATER_STRIDE = 16  # stride of the max pooling and the stages together


class Res2Net(nn.Cell):
    """mvector's Res2Net: frames to one embedding per utterance.

    In training the last batch norm makes each embedding depend on the whole batch.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, in_channels), T >= `min_frames(options)`.

    Outputs:
        Embeddings, (B, emb_size), not length-normalised.
    """

    @dataclass
    class Options(StageOptions):
        """Keys of the section `model`."""

        in_channels: int = option(80, "feature size", minimum=STEM_SEEN)
        emb_size: int = option(192, "embedding size", minimum=1)
        base_width: int = option(
            32, f"number of channels per group of a bottleneck, for each {FULL_WIDTH} channels of the stage", minimum=1
        )
        scale: int = option(2, "number of groups of a bottleneck", minimum=2)
        pooling: str = option("asp", "pooling over time; mvector has asp, sap, tap, tsp", choices=tuple(POOLINGS))
        pooling_eps: float = option(
            0.0, "constant added to variances in the pooling; 0: the pooling's default", minimum=0
        )

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            least = -(-FULL_WIDTH // self.base_width)
            narrow = [f"layer{index}_channels" for index, (size, _) in enumerate(self.stages(), 1) if size < least]
            return [f"{key}: expected at least {least} with base_width {self.base_width}." for key in narrow]

    @staticmethod
    def min_frames(options: Options) -> int:
        """Return the fewest frames of an utterance: 5, or 53 if the pooling needs two frames after the strides."""
        return STEM_SEEN + STEM_STRIDE * LATER_STRIDE * (min_pooled_frames(options.pooling) - 1)

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        channels = options.layer1_channels
        self.stem = Conv2d(1, channels, STEM_SIZE, stride=STEM_STRIDE, pad=1, bias=False)
        self.stem_norm = batch_norm_2d(channels)
        self.max_pool = MaxPool2d(3, 2, pad=1)
        sizes = {"base_width": options.base_width, "scale": options.scale}
        first, other = (partial(Res2Bottleneck, is_first=is_first, **sizes) for is_first in (True, False))
        self.layers, channels = stages(channels, options, STRIDES, other, first)
        self.pool = create_pooling(options.pooling, channels * num_rows(options.in_channels), options.pooling_eps)
        self.pool_norm = batch_norm(self.pool.out_channels)
        self.linear = Conv1d(self.pool.out_channels, options.emb_size)
        self.norm = batch_norm(options.emb_size)

    def construct(self, feats: Tensor) -> Tensor:
        x = feats.swapaxes(1, 2).expand_dims(1)  # (B, 1, F, T)
        x = self.max_pool(ops.relu(self.stem_norm(self.stem(x))))
        for layer in self.layers:
            x = layer(x)
        x = self.pool_norm(self.pool(x))
        return self.norm(self.linear(x.expand_dims(2)).squeeze(2))


def num_rows(in_channels: int) -> int:
    """Return the number of frequency rows before the pooling, for this feature size."""
    rows = (in_channels - STEM_SEEN) // STEM_STRIDE + 1
    return -(-rows // LATER_STRIDE)
