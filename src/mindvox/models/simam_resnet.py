"""SimAM-ResNet (Qin et al. 2022, arXiv:2110.06534) as wespeaker builds it, so that its weights fit: ResNet with basic
blocks, each with a parameter-free attention before the residual sum, and attentive statistics pooling.

The published sizes are wespeaker's SimAM_ResNet34_ASP and SimAM_ResNet100_ASP. Any feature size F works, see
`mindvox.models.resnet`.
"""

from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, nn

from mindvox.config.option import checked, option
from mindvox.layers.embedding import EmbeddingLayers
from mindvox.layers.pooling import create_pooling
from mindvox.layers.residual import BasicBlock
from mindvox.layers.simam import SimAM
from mindvox.layers.trunk import OwnBlocks, Trunk, num_rows
from mindvox.registry import POOLINGS

SIZES = {34: (3, 4, 6, 3), 100: (6, 16, 24, 3)}
"""Number of blocks of each of the four layers, by depth."""


class SimAMBlock(BasicBlock):
    """Two 3x3 convolutions, SimAM, and a residual connection.

    Args:
        in_channels, width, stride: see `BasicBlock`.
    """

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride, SimAM())


class SimAMResNet(nn.Cell):
    """SimAM-ResNet: frames to one embedding per utterance.

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
        emb_size: int = option(256, "embedding size", minimum=1)
        depth: int = option(
            34,
            "depth, as in wespeaker's SimAM_ResNet34 or SimAM_ResNet100; 0: set by layer1_blocks to layer4_blocks",
            choices=(0, *SIZES),
        )
        m_channels: int = option(64, "number of channels of the first layer; each further layer doubles it", minimum=1)
        pooling: str = option("channel_asp", "pooling over time", choices=tuple(POOLINGS))
        pooling_eps: float = option(
            0.0, "constant added to variances in the pooling; 0: the pooling's default", minimum=0
        )

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            own = self.own_blocks
            if self.depth == 0 and 0 in own:
                return ["depth: 0 needs at least 1 in each of layer1_blocks to layer4_blocks."]
            if self.depth > 0 and any(own):
                return [f"depth: {self.depth} has its own blocks: set depth: 0, or leave out layer*_blocks."]
            return []

        def num_blocks(self) -> tuple[int, ...]:
            """Return the number of blocks of each layer."""
            return SIZES[self.depth] if self.depth else self.own_blocks

    min_frames = 9  # the strides leave 2 of 9 frames; the deviation of a single one carries no information

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        self.trunk = Trunk(options.m_channels, (SimAMBlock,) * 4, options.num_blocks())
        pooled = self.trunk.sizes[3] * num_rows(options.in_channels)
        self.pool = create_pooling(options.pooling, pooled, options.pooling_eps)
        self.embed = EmbeddingLayers(self.pool.out_channels, options.emb_size)

    def construct(self, feats: Tensor) -> Tensor:
        return self.embed(self.pool(self.trunk(feats)[3]))
