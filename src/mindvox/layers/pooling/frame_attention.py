"""Attentive poolings of voxceleb_trainer's ResNetSE34L and VGGVox: one weight per frame, shared by all channels."""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from mindvox.layers.activation import tanh
from mindvox.layers.conv import Conv1d, project
from mindvox.layers.over_time import SoftmaxOverTime
from mindvox.layers.pooling.attentive import AttentiveMean, AttentiveStatistics

EPS = 1e-5  # voxceleb_trainer's floor of the variance


class FrameAttention(nn.Cell):
    """Weigh frames by tanh of a linear layer times a trained vector (Cai et al. 2018, arXiv:1804.05160, eq. 2-3).

    Args:
        channels: number of channels of a frame.

    Inputs:
        - **x** - (B, channels, T).

    Outputs:
        (B, 1, T), float32, with sum 1 over T.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = Conv1d(channels, channels)
        deviation = math.sqrt(2 / (channels + 1))  # Xavier's, voxceleb_trainer's initial values
        self.vector = Parameter(Tensor(np.random.normal(0, deviation, (channels, 1)), ms.float32), name="vector")
        self.softmax = SoftmaxOverTime()

    def construct(self, x: Tensor) -> Tensor:
        energy = project(tanh(self.linear(x)), self.vector.reshape(1, -1, 1, 1))
        return self.softmax(energy.astype(ms.float32))  # in mixed precision the products are float16


class FrameSap(AttentiveMean):
    """Pool by the attentive mean (voxceleb_trainer's SAP).

    Args:
        channels, eps: see `AttentiveMean`.
    """

    def __init__(self, channels: int, eps: float = 0.0) -> None:
        super().__init__("frame_sap", channels, eps)
        self.attention = FrameAttention(channels)


class FrameAsp(AttentiveStatistics):
    """Pool by the attentive mean and deviation (voxceleb_trainer's ASP).

    Source: Okabe et al. 2018, arXiv:1803.10963, eq. 5-6.

    Args:
        channels, eps: see `AttentiveStatistics`.
    """

    def __init__(self, channels: int, eps: float = EPS) -> None:
        super().__init__(channels, eps)
        self.attention = FrameAttention(channels)
