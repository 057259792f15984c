"""Res2Net (Gao et al. 2019, arXiv:1904.01169) as 3D-Speaker builds it, so that its weights fit.

mvector's Res2Net is another network. Any feature size F works and leaves ceil(F / 8) rows before the pooling;
3D-Speaker's own code takes only multiples of 8.
"""

from typing import Any

from mindspore import Tensor, nn

from mindvox.config.option import checked
from mindvox.layers.embedding import EmbeddingLayers
from mindvox.layers.pooling import create_pooling
from mindvox.layers.trunk import Trunk, num_rows
from mindvox.models.eres2net import Res2Options


class Res2Net3DSpeaker(nn.Cell):
    """3D-Speaker's Res2Net: frames to one embedding per utterance.

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
        self.trunk = Trunk(options.m_channels, (options.block(passes_last=True),) * 4, options.num_blocks)
        self.pool = create_pooling(
            options.pooling, self.trunk.sizes[3] * num_rows(options.in_channels), options.pooling_eps
        )
        self.embed = EmbeddingLayers(self.pool.out_channels, options.emb_size, options.two_emb_layer)

    def construct(self, feats: Tensor) -> Tensor:
        return self.embed(self.pool(self.trunk(feats)[3]))
