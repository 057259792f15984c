"""x-vectors (Snyder, Garcia-Romero, Sell, Povey, Khudanpur 2018, "X-Vectors: Robust DNN Embeddings for Speaker
Recognition", ICASSP) as 3D-Speaker builds them, so that its weights fit.

Where it departs from the paper: batch norms have no factor and offset, and one linear layer follows the pooling.
"""

from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, nn

from mindvox.config.option import checked, option
from mindvox.layers.embedding import EmbeddingLayers
from mindvox.layers.pooling import create_pooling
from mindvox.layers.tdnn import TDNNBlock
from mindvox.registry import POOLINGS

LAYERS = ((5, 1), (3, 2), (3, 3), (1, 1), (1, 1))  # kernel size and dilation, frames
LOST_FRAMES = sum((size - 1) * dilation for size, dilation in LAYERS)  # there is no padding at the edges


class XVector(nn.Cell):
    """x-vector: frames to one embedding per utterance.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, in_channels), T >= 16.

    Outputs:
        Embeddings, (B, emb_size), not length-normalised.
    """

    @dataclass
    class Options:
        """Keys of the section `model`."""

        in_channels: int = option(80, "feature size", minimum=1)
        emb_size: int = option(512, "embedding size", minimum=1)
        channels: int = option(512, "number of channels of the frame-level layers except the last", minimum=1)
        pooled_channels: int = option(1500, "number of channels of the last frame-level layer", minimum=1)
        pooling: str = option("tstp", "pooling over time", choices=tuple(POOLINGS))
        pooling_eps: float = option(
            0.0, "constant added to variances in the pooling; 0: the pooling's default; 3D-Speaker has 1e-8", minimum=0
        )

    min_frames = LOST_FRAMES + 2  # a deviation needs two frames

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        sizes = [options.in_channels, *[options.channels] * (len(LAYERS) - 1), options.pooled_channels]
        self.layers = nn.SequentialCell(
            [
                TDNNBlock(sizes[i], sizes[i + 1], kernel_size, dilation, "valid", affine=False)
                for i, (kernel_size, dilation) in enumerate(LAYERS)
            ]
        )
        self.pool = create_pooling(options.pooling, options.pooled_channels, options.pooling_eps)
        self.embed = EmbeddingLayers(self.pool.out_channels, options.emb_size)

    def construct(self, feats: Tensor) -> Tensor:
        x = self.layers(feats.swapaxes(1, 2))  # (B, C, T - 14)
        return self.embed(self.pool(x))
