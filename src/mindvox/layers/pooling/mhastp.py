"""Multi-head attentive statistics pooling as wespeaker builds it (MHASTP)."""

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvox.errors import InputError
from mindvox.layers.activation import tanh
from mindvox.layers.building import building_form
from mindvox.layers.conv import Conv1d
from mindvox.layers.over_time import SoftmaxOverTime
from mindvox.layers.pooling.statistics import channels_over_time, weighted_statistics

NUM_HEADS = 2
EPS = 1e-7  # wespeaker's


class Attention(nn.Cell):
    """Compute one weight per frame, shared by all channels.

    Args:
        channels: number of input channels.
        attention_channels: number of channels between the two products.

    Inputs:
        - **x** - (B, channels, T).

    Outputs:
        (B, 1, T), float32, with sum 1 over T.
    """

    def __init__(self, channels: int, attention_channels: int) -> None:
        super().__init__()
        self.att_0 = Conv1d(channels, attention_channels)
        self.att_1 = Conv1d(attention_channels, 1)
        self.softmax = SoftmaxOverTime()

    def construct(self, x: Tensor) -> Tensor:
        # In mixed precision only the products are float16.
        return self.softmax(self.att_1(tanh(self.att_0(x))).astype(ms.float32))


class MultiHeadAstp(nn.Cell):
    """Split the channels into heads; pool each head by a mean and a deviation, with separate weights of the frames.

    Args:
        channels: number of input channels, a multiple of the number of heads.
        attention_channels: number of channels between the two products of a head's attention.
        num_heads: number of heads.
        eps: floor of the variances.

    Inputs:
        - **x** - (B, C, T) or (B, C, F, T).

    Outputs:
        (B, 2 * channels), float32: for each head the means, then the biased deviations.

    Raises:
        InputError: the number of channels is not a multiple of the number of heads.
    """

    def __init__(
        self, channels: int, attention_channels: int = 64, num_heads: int = NUM_HEADS, eps: float = EPS
    ) -> None:
        super().__init__()
        if channels % num_heads:
            raise InputError(
                f"pooling mhastp: {num_heads} heads need a number of channels that is a multiple of {num_heads}, got "
                f"{channels}. Change the model's sizes or the pooling."
            )
        self.channels = channels
        self.out_channels = 2 * channels
        self.eps = eps
        self.form = building_form()
        size = channels // num_heads
        self.heads_att_trans = nn.CellList([Attention(size, attention_channels) for _ in range(num_heads)])
        self.parts = [(start, start + size) for start in range(0, channels, size)]

    def construct(self, x: Tensor) -> Tensor:
        x = channels_over_time(x, self.channels)
        pooled = []
        for index, (start, stop) in enumerate(self.parts):
            part = x[:, start:stop]
            weight = self.heads_att_trans[index](part)
            pooled.append(weighted_statistics(part.astype(ms.float32), weight, self.eps, self.form))
        return ops.cat(pooled, axis=1).squeeze(2)
