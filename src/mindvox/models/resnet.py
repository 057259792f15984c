"""ResNet (He et al. 2016, arXiv:1512.03385) as wespeaker and 3D-Speaker build it, so that their weights fit: r-vectors
(Zeinali et al. 2019, arXiv:1910.12592).

The published sizes are wespeaker's ResNet18 and ResNet34 (basic blocks), ResNet50, 101, 152, 221 and 293 (bottlenecks).
3D-Speaker's ResNet34 has a second embedding layer. Any feature size F works and leaves ceil(F / 8) rows before the
pooling; the toolkits' own code takes only multiples of 8.
"""

from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, nn

from mindvox.config.option import checked, option
from mindvox.layers.embedding import EmbeddingLayers
from mindvox.layers.pooling import create_pooling
from mindvox.layers.residual import BasicBlock, Bottleneck
from mindvox.layers.trunk import OwnBlocks, Trunk, num_rows
from mindvox.registry import POOLINGS

BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}
SIZES = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
    221: ("bottleneck", (6, 16, 48, 3)),
    293: ("bottleneck", (10, 20, 64, 3)),
}
"""Kind of block, and number of blocks of each of the four layers, by depth."""


class ResNet(nn.Cell):
    """ResNet: frames to one embedding per utterance.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, in_channels), T >= 9.

    Outputs:
        Embeddings, (B, emb_size), not length-normalised.
    """

    @dataclass
    class Options(OwnBlocks):
        """Keys of the section `model`."""

        in_channels: int = option(80, "feature size", minimum=1)
        emb_size: int = option(256, "embedding size: 256 in wespeaker's models, 192 in 3D-Speaker's", minimum=1)
        depth: int = option(
            34,
            "depth, as in wespeaker's ResNet18, 34 (basic blocks), 50, 101, 152, 221, 293 (bottlenecks); 0: set "
            "by block and layer1_blocks to layer4_blocks",
            choices=(0, *SIZES),
        )
        block: str = option("auto", "kind of residual block, for depth 0; auto: by depth", choices=("auto", *BLOCKS))
        m_channels: int = option(32, "number of channels of the first layer; each further layer doubles it", minimum=1)
        two_emb_layer: bool = option(
            False, "add a second embedding layer, whose output is the embedding: 3D-Speaker's ResNet34"
        )
        pooling: str = option("tstp", "pooling over time", choices=tuple(POOLINGS))
        pooling_eps: float = option(
            0.0,
            "constant added to variances in the pooling; 0: the pooling's default; wespeaker has 1e-7, 3D-Speaker 1e-8",
            minimum=0,
        )

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            own = self.own_blocks
            if self.depth == 0 and (self.block == "auto" or 0 in own):
                return ["depth: 0 needs block, and at least 1 in each of layer1_blocks to layer4_blocks."]
            if self.depth > 0 and (self.block != "auto" or any(own)):
                return [f"depth: {self.depth} has its own blocks: set depth: 0, or leave out block and layer*_blocks."]
            return []

        def size(self) -> tuple[str, tuple[int, ...]]:
            """Return the kind of block, and the number of blocks of each layer."""
            return SIZES[self.depth] if self.depth else (self.block, self.own_blocks)

    min_frames = 9  # the strides leave 2 of 9 frames, the fewest for a deviation

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        kind, num_blocks = options.size()
        self.trunk = Trunk(options.m_channels, (BLOCKS[kind],) * 4, num_blocks)
        pooled = self.trunk.sizes[3] * num_rows(options.in_channels)
        self.pool = create_pooling(options.pooling, pooled, options.pooling_eps)
        self.embed = EmbeddingLayers(self.pool.out_channels, options.emb_size, options.two_emb_layer)

    def construct(self, feats: Tensor) -> Tensor:
        return self.embed(self.pool(self.trunk(feats)[3]))
