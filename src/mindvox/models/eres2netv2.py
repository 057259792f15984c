"""ERes2NetV2 (Chen et al. 2024, arXiv:2406.02167), so that the weights of 3D-Speaker and mvector fit: ERes2Net with
wider groups, which fuses the outputs of only the third and the fourth layer.

The published sizes are 3D-Speaker's of 17.9 M parameters (the defaults), its w24s4ep4 (base_width 24, scale 4,
expansion 4) and mvector's (m_channels 32). Any feature size F works and leaves ceil(F / 8) rows before the pooling; the
toolkits' own code takes only multiples of 8.
"""

from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, nn

from mindvox.config.option import checked, option
from mindvox.layers.conv import Conv2d
from mindvox.layers.embedding import EmbeddingLayers
from mindvox.layers.pooling import create_pooling
from mindvox.layers.res2 import AttentionalFusion
from mindvox.layers.trunk import Trunk, num_rows
from mindvox.models.eres2net import Res2Options


class ERes2NetV2(nn.Cell):
    """ERes2NetV2: frames to one embedding per utterance.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, in_channels), T >= 9.

    Outputs:
        Embeddings, (B, emb_size), not length-normalised.
    """

    @dataclass
    class Options(Res2Options):
        """Keys of the section `model`."""

        m_channels: int = option(64, "number of channels of the first layer; each further layer doubles it", minimum=1)
        base_width: int = option(
            26, "number of channels per group of a block, for each 64 channels of its layer", minimum=1
        )

    min_frames = 9  # the strides leave 2 of 9 frames, the fewest for a deviation

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        summed, fused = options.block(), options.block(fuses=True)
        self.trunk = Trunk(options.m_channels, (summed, summed, fused, fused), options.num_blocks)
        _, _, third, fourth = self.trunk.sizes
        self.downsampling = Conv2d(third, fourth, 3, stride=2, bias=False)
        self.fusion = AttentionalFusion(fourth)
        self.pool = create_pooling(options.pooling, fourth * num_rows(options.in_channels), options.pooling_eps)
        self.embed = EmbeddingLayers(self.pool.out_channels, options.emb_size, options.two_emb_layer)

    def construct(self, feats: Tensor) -> Tensor:
        _, _, third, fourth = self.trunk(feats)
        return self.embed(self.pool(self.fusion(fourth, self.downsampling(third))))
