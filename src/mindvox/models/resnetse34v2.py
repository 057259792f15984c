"""ResNetSE34V2, voxceleb_trainer's "H / ASP" (Heo et al. 2020, arXiv:2009.14153), so that its weights fit."""

from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.layers.conv import Conv1d, Conv2d
from mindvox.layers.norm import batch_norm_2d
from mindvox.layers.pooling import create_pooling
from mindvox.layers.se_resnet import StageOptions, stages
from mindvox.layers.trunk import STRIDES, num_rows
from mindvox.registry import POOLINGS


class ResNetSE34V2(nn.Cell):
    """ResNetSE34V2: frames to one embedding per utterance. The pooling treats each row of each channel separately.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - log mel energies, each bin with mean 0 and deviation 1, (B, T, in_channels), T >= 9.

    Outputs:
        Embeddings, (B, emb_size), not length-normalised.
    """

    @dataclass
    class Options(StageOptions):
        """Keys of the section `model`."""

        in_channels: int = option(64, "feature size", minimum=1)
        emb_size: int = option(512, "embedding size", minimum=1)
        pooling: str = option(
            "channel_asp", "pooling over time; voxceleb_trainer has channel_asp, channel_sap", choices=tuple(POOLINGS)
        )
        pooling_eps: float = option(
            0.0, "constant added to variances in the pooling; 0: the pooling's default", minimum=0
        )

    min_frames = 9  # the strides leave 2 of 9 frames, the fewest for a deviation

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        self.conv1 = Conv2d(1, options.layer1_channels, 3)
        self.norm1 = batch_norm_2d(options.layer1_channels)
        self.layers, channels = self._stages(options)
        self.pool = create_pooling(options.pooling, channels * num_rows(options.in_channels), options.pooling_eps)
        self.fc = Conv1d(self.pool.out_channels, options.emb_size)

    def _stages(self, options: Any) -> tuple[nn.CellList, int]:
        """Return the residual stages, and the number of their output channels."""
        return stages(options.layer1_channels, options, STRIDES)

    def construct(self, feats: Tensor) -> Tensor:
        x = feats.swapaxes(1, 2).expand_dims(1)  # (B, 1, F, T)
        x = self.norm1(ops.relu(self.conv1(x)))
        for layer in self.layers:
            x = layer(x)
        return self.fc(self.pool(x).expand_dims(2)).squeeze(2)
