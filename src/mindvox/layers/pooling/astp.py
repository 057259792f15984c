"""Attentive statistics pooling as wespeaker builds it (ASTP)."""

import mindspore as ms
from mindspore import Tensor

from mindvox.layers.activation import tanh
from mindvox.layers.conv import ContextConv1d, Conv1d
from mindvox.layers.over_time import SoftmaxOverTime
from mindvox.layers.pooling.attentive import AttentiveStatistics
from mindvox.layers.pooling.statistics import unbiased_statistics

ATTENTION_CHANNELS = 128
EPS = 1e-7  # wespeaker's; 3D-Speaker has 1e-10


class Astp(AttentiveStatistics):
    """Pool by an attentive mean and deviation for each channel.

    Where it departs from `AttentiveStatisticsPooling`: the attention has neither ReLU nor batch norm before tanh, and
    its context has the unbiased deviation.

    Args:
        channels: number of input channels.
        attention_channels: number of channels between the two products of the attention.
        global_context: the attention takes the utterance's mean and unbiased deviation in addition to each frame.
        eps: added to the variance of the context; floor of the variance of the result.

    Inputs:
        - **x** - (B, C, T) or (B, C, F, T), T > 1.

    Outputs:
        (B, 2 * channels), float32: the means, then the biased deviations.
    """

    min_frames = 2  # for the context's deviation

    def __init__(
        self, channels: int, attention_channels: int = ATTENTION_CHANNELS, global_context: bool = True, eps: float = EPS
    ) -> None:
        super().__init__(channels, eps)
        self.global_context = global_context
        self.softmax = SoftmaxOverTime()
        if global_context:
            self.linear1 = ContextConv1d(channels, 2 * channels, attention_channels)
        else:
            self.linear1 = Conv1d(channels, attention_channels)
        self.linear2 = Conv1d(attention_channels, channels)

    def attention(self, x: Tensor) -> Tensor:
        """Return the weights of the frames of x (B, channels, T), the same shape."""
        if self.global_context:
            context = unbiased_statistics(x, self.form, self.eps).astype(x.dtype)
            hidden = self.linear1(x, context)
        else:
            hidden = self.linear1(x)
        return self.softmax(self.linear2(tanh(hidden)).astype(ms.float32))  # only the products are float16


class LocalAstp(Astp):
    """`Astp` without the global context: its attention takes only the frame itself.

    Args:
        channels: number of input channels.
        attention_channels, eps: see `Astp`.
    """

    min_frames = 1

    def __init__(self, channels: int, attention_channels: int = ATTENTION_CHANNELS, eps: float = EPS) -> None:
        super().__init__(channels, attention_channels, global_context=False, eps=eps)
