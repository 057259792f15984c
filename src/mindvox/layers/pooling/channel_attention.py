"""Attentive poolings of voxceleb_trainer's ResNetSE34V2: each channel has its own weight in every frame."""

import mindspore as ms
from mindspore import Tensor, nn

from mindvox.layers.conv import Conv1d
from mindvox.layers.over_time import SoftmaxOverTime
from mindvox.layers.pooling.attentive import AttentiveMean, AttentiveStatistics
from mindvox.layers.pooling.frame_attention import EPS
from mindvox.layers.tdnn import TDNNBlock

ATTENTION_CHANNELS = 128


class ChannelAttention(nn.Cell):
    """Weigh the frames of each channel by two products with ReLU and batch norm between them.

    Args:
        channels: number of channels of a frame.
        attention_channels: number of channels between the two products.

    Inputs:
        - **x** - (B, channels, T).

    Outputs:
        (B, channels, T), float32, with sum 1 over T.
    """

    def __init__(self, channels: int, attention_channels: int) -> None:
        super().__init__()
        self.tdnn = TDNNBlock(channels, attention_channels)
        self.conv = Conv1d(attention_channels, channels)
        self.softmax = SoftmaxOverTime()

    def construct(self, x: Tensor) -> Tensor:
        return self.softmax(self.conv(self.tdnn(x)).astype(ms.float32))  # in mixed precision the products are float16


class ChannelSap(AttentiveMean):
    """Pool by the attentive mean of each channel (SAP of ResNetSE34V2).

    Args:
        channels, eps: see `AttentiveMean`.
        attention_channels: number of channels between the two products of the attention.
    """

    def __init__(self, channels: int, attention_channels: int = ATTENTION_CHANNELS, eps: float = 0.0) -> None:
        super().__init__("channel_sap", channels, eps)
        self.attention = ChannelAttention(channels, attention_channels)


class ChannelAsp(AttentiveStatistics):
    """Pool by the attentive mean and deviation of each channel (ASP of ResNetSE34V2).

    Args:
        channels, eps: see `AttentiveStatistics`.
        attention_channels: number of channels between the two products of the attention.
    """

    def __init__(self, channels: int, attention_channels: int = ATTENTION_CHANNELS, eps: float = EPS) -> None:
        super().__init__(channels, eps)
        self.attention = ChannelAttention(channels, attention_channels)
