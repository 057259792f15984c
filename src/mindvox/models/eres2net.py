"""ERes2Net (Chen, Zheng, Wang, Cheng, Chen, Qi 2023, arXiv:2305.12838), so that the weights of 3D-Speaker and mvector
fit: a Res2Net that joins groups by attention in the third and fourth layer, and fuses the outputs of all four layers.

The published sizes are base (the defaults), large (m_channels 64) and huge (m_channels 64, base_width 24, scale 3,
expansion 4). Any feature size F works and leaves ceil(F / 8) rows before the pooling; the toolkits' own code takes only
multiples of 8.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from mindspore import Tensor, nn

from mindvox.config.option import checked, option
from mindvox.layers.conv import Conv2d
from mindvox.layers.embedding import EmbeddingLayers
from mindvox.layers.pooling import create_pooling
from mindvox.layers.res2 import FULL_WIDTH, AttentionalFusion, Res2Block
from mindvox.layers.trunk import Trunk, num_rows
from mindvox.registry import POOLINGS


@dataclass
class Res2Options:
    """Shared keys of the section `model` for networks of Res2 blocks; the defaults are ERes2Net base's."""

    in_channels: int = option(80, "feature size", minimum=1)
    emb_size: int = option(192, "embedding size", minimum=1)
    m_channels: int = option(32, "number of channels of the first layer; each further layer doubles it", minimum=1)
    layer1_blocks: int = option(3, "number of blocks in the first layer", minimum=1)
    layer2_blocks: int = option(4, "number of blocks in the second layer", minimum=1)
    layer3_blocks: int = option(6, "number of blocks in the third layer", minimum=1)
    layer4_blocks: int = option(3, "number of blocks in the fourth layer", minimum=1)
    base_width: int = option(
        32, "number of channels per group of a block, for each 64 channels of its layer", minimum=1
    )
    scale: int = option(2, "number of channel groups of a block, which are convolved in turn", minimum=2)
    expansion: int = option(2, "number of output channels of a block, as a multiple of those of its layer", minimum=1)
    two_emb_layer: bool = option(False, "add a second embedding layer, whose output is the embedding")
    pooling: str = option("tstp", "pooling over time", choices=tuple(POOLINGS))
    pooling_eps: float = option(
        0.0,
        "constant added to variances in the pooling; 0: the pooling's default; 3D-Speaker and mvector have 1e-8",
        minimum=0,
    )

    def problems(self) -> list[str]:
        """Return one line for each conflict between keys."""
        if self.m_channels * self.base_width < FULL_WIDTH:
            return [
                f"m_channels: {self.m_channels} times base_width {self.base_width} is below {FULL_WIDTH}, so that a "
                "group of the first layer has no channel: raise one of them."
            ]
        return []

    @property
    def num_blocks(self) -> tuple[int, ...]:
        """Number of blocks of each layer."""
        return self.layer1_blocks, self.layer2_blocks, self.layer3_blocks, self.layer4_blocks

    def block(self, **kind: bool) -> partial:
        """Return a builder of blocks of these sizes; `kind`: see `Res2Block`."""
        return partial(Res2Block, base_width=self.base_width, scale=self.scale, expansion=self.expansion, **kind)


class ERes2Net(nn.Cell):
    """ERes2Net: frames to one embedding per utterance.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, in_channels), T >= 9.

    Outputs:
        Embeddings, (B, emb_size), not length-normalised.
    """

    Options = Res2Options
    min_frames = 9  # the strides leave 2 of 9 frames, the fewest for a deviation

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        summed, fused = options.block(), options.block(fuses=True)
        self.trunk = Trunk(options.m_channels, (summed, summed, fused, fused), options.num_blocks)
        sizes = self.trunk.sizes
        self.downsamplings = nn.CellList([Conv2d(sizes[i], sizes[i + 1], 3, stride=2, bias=False) for i in range(3)])
        self.fusions = nn.CellList([AttentionalFusion(size) for size in sizes[1:]])
        self.pool = create_pooling(options.pooling, sizes[3] * num_rows(options.in_channels), options.pooling_eps)
        self.embed = EmbeddingLayers(self.pool.out_channels, options.emb_size, options.two_emb_layer)

    def construct(self, feats: Tensor) -> Tensor:
        outputs = self.trunk(feats)
        x = outputs[0]
        for index in range(3):
            x = self.fusions[index](outputs[index + 1], self.downsamplings[index](x))
        return self.embed(self.pool(x))
