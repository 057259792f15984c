"""ResNetSE34L, voxceleb_trainer's "Fast ResNet-34" (Chung et al. 2020, arXiv:2003.11982), so that its weights fit."""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.layers.conv import Conv1d, Conv2d
from mindvox.layers.norm import batch_norm_2d
from mindvox.layers.pooling import create_pooling
from mindvox.layers.se_resnet import REDUCTION, StageOptions, stages
from mindvox.registry import POOLINGS

STRIDES = (1, 2, 2, 1)


class ResNetSE34L(nn.Cell):
    """ResNetSE34L: frames to one embedding per utterance. The mean over frequency is taken before the pooling.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - log mel energies, each bin with mean 0 and deviation 1, (B, T, in_channels), T >= 5.

    Outputs:
        Embeddings, (B, emb_size), not length-normalised.
    """

    @dataclass
    class Options(StageOptions):
        """Keys of the section `model`."""

        in_channels: int = option(40, "feature size", minimum=1)
        emb_size: int = option(512, "embedding size", minimum=1)
        layer1_channels: int = option(16, "number of channels of the first stage", minimum=REDUCTION)
        layer2_channels: int = option(32, "number of channels of the second stage", minimum=REDUCTION)
        layer3_channels: int = option(64, "number of channels of the third stage", minimum=REDUCTION)
        layer4_channels: int = option(128, "number of channels of the fourth stage", minimum=REDUCTION)
        pooling: str = option(
            "frame_sap", "pooling over time; voxceleb_trainer has frame_sap, frame_asp", choices=tuple(POOLINGS)
        )
        pooling_eps: float = option(
            0.0, "constant added to variances in the pooling; 0: the pooling's default", minimum=0
        )

    min_frames = 5  # the strides leave 2 of 5 frames, the fewest for a deviation

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        self.conv1 = Conv2d(1, options.layer1_channels, 7, stride=(2, 1), bias=False)
        self.norm1 = batch_norm_2d(options.layer1_channels)
        self.layers, channels = stages(options.layer1_channels, options, STRIDES)
        self.pool = create_pooling(options.pooling, channels, options.pooling_eps)
        self.fc = Conv1d(self.pool.out_channels, options.emb_size)

    def construct(self, feats: Tensor) -> Tensor:
        x = feats.swapaxes(1, 2).expand_dims(1)  # (B, 1, F, T)
        x = ops.relu(self.norm1(self.conv1(x)))
        for layer in self.layers:
            x = layer(x)
        x = ops.ReduceMean()(x.astype(ms.float32), 2).astype(x.dtype)  # the mean is float32 in mixed precision too
        return self.fc(self.pool(x).expand_dims(2)).squeeze(2)
