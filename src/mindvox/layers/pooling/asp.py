"""Attentive statistics pooling as SpeechBrain builds it; the same as in mvector's and 3D-Speaker's ECAPA-TDNN."""

from typing import Optional

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvox.layers.activation import tanh
from mindvox.layers.building import building_form
from mindvox.layers.conv import ContextConv1d, Conv1d
from mindvox.layers.norm import batch_norm
from mindvox.layers.over_time import SoftmaxOverTime
from mindvox.layers.pooling.statistics import biased_statistics, channels_over_time, weighted_statistics
from mindvox.layers.tdnn import TDNNBlock

ATTENTION_CHANNELS = 128
EPS = 1e-12  # SpeechBrain's floor of the variance


class ContextTDNN(nn.Cell):
    """1x1 time-delay layer over [x; context]; the same context is concatenated to each frame.

    Parameters are those of `TDNNBlock` over the concatenated input.

    Args:
        channels: number of channels of a frame.
        context_channels: number of channels of the context.
        out_channels: number of output channels.

    Inputs:
        - **x** - (B, channels, T).
        - **context** - (B, context_channels, 1).

    Outputs:
        (B, out_channels, T).
    """

    def __init__(self, channels: int, context_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = ContextConv1d(channels, context_channels, out_channels)
        self.norm = batch_norm(out_channels)

    def construct(self, x: Tensor, context: Tensor) -> Tensor:
        return self.norm(ops.relu(self.conv(x, context)))


class AttentiveStatisticsPooling(nn.Cell):
    """Pool by an attentive mean and deviation for each channel.

    Source: Desplanques et al. 2020, arXiv:2005.07143, eq. 1-4.

    Args:
        channels: number of input channels.
        attention_channels: number of channels between the two products of the attention.
        global_context: the attention takes the utterance's mean and biased deviation in addition to each frame.
        eps: floor of the variances.

    Inputs:
        - **x** - (B, C, T) or (B, C, F, T).
        - **mask** - None, or (B, 1, T) from `length_mask`: all statistics ignore padding.

    Outputs:
        (B, 2 * channels), float32: the means, then the biased deviations.
    """

    def __init__(
        self,
        channels: int,
        attention_channels: int = ATTENTION_CHANNELS,
        global_context: bool = True,
        eps: float = EPS,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.out_channels = 2 * channels
        self.global_context = global_context
        self.eps = eps
        self.form = building_form()
        if global_context:
            self.tdnn = ContextTDNN(channels, 2 * channels, attention_channels)
        else:
            self.tdnn = TDNNBlock(channels, attention_channels)
        self.conv = Conv1d(attention_channels, channels)
        self.softmax = SoftmaxOverTime()

    def construct(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        x = channels_over_time(x, self.channels)
        return self.statistics(x, self.attention(x, mask))

    def attention(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        """Return the weights of the frames of x (B, channels, T): the same shape, float32, with sum 1 over T."""
        if self.global_context:
            # In mixed precision only the products of the attention are float16.
            context = biased_statistics(x.astype(ms.float32), self.form, self.eps, mask)
            hidden = self.tdnn(x, context.astype(x.dtype))
        else:
            hidden = self.tdnn(x)
        energy = self.conv(tanh(hidden)).astype(ms.float32)
        if mask is not None:
            energy = ops.masked_fill(energy, mask == 0, float("-inf"))
        return self.softmax(energy)

    def statistics(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted means, then the deviations of x (B, channels, T): (B, 2 * channels), float32."""
        return weighted_statistics(x.astype(ms.float32), weight, self.eps, self.form).squeeze(2)


class LocalAttentiveStatisticsPooling(AttentiveStatisticsPooling):
    """`AttentiveStatisticsPooling` without the global context: its attention takes only the frame itself.

    Args:
        channels: number of input channels.
        attention_channels, eps: see `AttentiveStatisticsPooling`.
    """

    def __init__(self, channels: int, attention_channels: int = ATTENTION_CHANNELS, eps: float = EPS) -> None:
        super().__init__(channels, attention_channels, global_context=False, eps=eps)
