"""Attentive poolings of voxceleb_trainer's ResNetSE34V2: each channel has its own weight in every frame."""

import mindspore as ms
from mindspore import Tensor, nn

from mindvox.layers.building import building_form
from mindvox.layers.conv import Conv1d
from mindvox.layers.over_time import SoftmaxOverTime
from mindvox.layers.pooling.frame_attention import EPS
from mindvox.layers.pooling.statistics import channels_over_time, refuse_eps, weighted_statistics, weighted_sum
from mindvox.layers.tdnn import TDNNBlock

ATTENTION_CHANNELS = 128


class ChannelAttention(nn.Cell):
    """Weigh the frames of each channel by two products with ReLU and batch norm between them.

    Args:
        channels: channels of a frame.
        attention_channels: channels between the two products.

    Inputs:
        - **x** - (B, channels, T).

    Outputs:
        (B, channels, T), float32; sums to 1 over T.
    """

    def __init__(self, channels: int, attention_channels: int) -> None:
        super().__init__()
        self.tdnn = TDNNBlock(channels, attention_channels)
        self.conv = Conv1d(attention_channels, channels)
        self.softmax = SoftmaxOverTime()

    def construct(self, x: Tensor) -> Tensor:
        return self.softmax(self.conv(self.tdnn(x)).astype(ms.float32))  # in mixed precision the products are half


class ChannelSap(nn.Cell):
    """Pool by the attentive mean of each channel (SAP of ResNetSE34V2).

    Args:
        channels: channels of the input.
        attention_channels: channels between the two products of the attention.
        eps: must be 0: there is no variance.

    Inputs:
        - **x** - (B, C, T) or (B, C, F, T).

    Outputs:
        (B, channels), float32.

    Raises:
        InputError: `eps` is not 0.
    """

    def __init__(self, channels: int, attention_channels: int = ATTENTION_CHANNELS, eps: float = 0.0) -> None:
        super().__init__()
        refuse_eps("channel_sap", eps)
        self.channels = channels
        self.out_channels = channels
        self.form = building_form()
        self.attention = ChannelAttention(channels, attention_channels)

    def construct(self, x: Tensor) -> Tensor:
        x = channels_over_time(x, self.channels)
        return weighted_sum(x.astype(ms.float32), self.attention(x), self.form).squeeze(2)


class ChannelAsp(nn.Cell):
    """Pool by the attentive mean and deviation of each channel (ASP of ResNetSE34V2).

    Args:
        channels: channels of the input.
        attention_channels: channels between the two products of the attention.
        eps: floor of a variance.

    Inputs:
        - **x** - (B, C, T) or (B, C, F, T).

    Outputs:
        (B, 2 * channels), float32: the means, then the biased deviations.
    """

    def __init__(self, channels: int, attention_channels: int = ATTENTION_CHANNELS, eps: float = EPS) -> None:
        super().__init__()
        self.channels = channels
        self.out_channels = 2 * channels
        self.eps = eps
        self.form = building_form()
        self.attention = ChannelAttention(channels, attention_channels)

    def construct(self, x: Tensor) -> Tensor:
        x = channels_over_time(x, self.channels)
        return weighted_statistics(x.astype(ms.float32), self.attention(x), self.eps, self.form).squeeze(2)
