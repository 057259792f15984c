"""TDNN as mvector builds it, so that its weights fit: the x-vector's time-delay layers (Snyder, Garcia-Romero, Sell,
Povey, Khudanpur 2018, "X-Vectors: Robust DNN Embeddings for Speaker Recognition", ICASSP).

Where it departs from the paper: 512 channels before the pooling too, an attentive pooling, and after it a single linear
layer, with a batch norm before and after it.
"""

from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.layers.conv import Conv1d
from mindvox.layers.norm import batch_norm
from mindvox.layers.pooling import create_pooling, min_pooled_frames
from mindvox.layers.tdnn import TDNNBlock
from mindvox.registry import POOLINGS

LAYERS = ((5, 1), (3, 2), (3, 3), (1, 1))  # kernel size and dilation, frames, of the layers with batch norm
LOST_FRAMES = sum((size - 1) * dilation for size, dilation in LAYERS)  # there is no padding at the edges


class Tdnn(nn.Cell):
    """mvector's TDNN: frames to one embedding per utterance.

    In training the last batch norm makes each embedding depend on the whole batch.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, in_channels), T >= `min_frames(options)`.

    Outputs:
        Embeddings, (B, emb_size), not length-normalised.
    """

    @dataclass
    class Options:
        """Keys of the section `model`."""

        in_channels: int = option(80, "feature size", minimum=1)
        emb_size: int = option(192, "embedding size", minimum=1)
        channels: int = option(512, "number of channels of the frame-level layers", minimum=1)
        pooling: str = option("asp", "pooling over time; mvector has asp, sap, tap, tsp", choices=tuple(POOLINGS))
        pooling_eps: float = option(
            0.0, "constant added to variances in the pooling; 0: the pooling's default", minimum=0
        )

    @staticmethod
    def min_frames(options: Options) -> int:
        """Return the fewest frames of an utterance: those that convolutions lose plus those that pooling needs."""
        return LOST_FRAMES + min_pooled_frames(options.pooling)

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        channels = options.channels
        sizes = options.in_channels, channels, channels, channels
        self.layers = nn.SequentialCell(
            [
                TDNNBlock(size, channels, kernel_size, dilation, "valid")
                for size, (kernel_size, dilation) in zip(sizes, LAYERS, strict=True)
            ]
        )
        self.last = Conv1d(channels, channels)
        self.pool = create_pooling(options.pooling, channels, options.pooling_eps)
        self.pool_norm = batch_norm(self.pool.out_channels)
        self.linear = Conv1d(self.pool.out_channels, options.emb_size)
        self.norm = batch_norm(options.emb_size)

    def construct(self, feats: Tensor) -> Tensor:
        x = self.layers(feats.swapaxes(1, 2))  # (B, C, T)
        x = self.pool_norm(self.pool(ops.relu(self.last(x))))
        return self.norm(self.linear(x.expand_dims(2)).squeeze(2))
