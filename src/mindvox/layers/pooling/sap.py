"""Self-attentive pooling as mvector builds it (SAP)."""

import mindspore as ms
from mindspore import Tensor, nn

from mindvox.layers.activation import tanh
from mindvox.layers.building import building_form
from mindvox.layers.conv import Conv1d
from mindvox.layers.over_time import SoftmaxOverTime
from mindvox.layers.pooling.statistics import channels_over_time, refuse_eps, weighted_sum


class SelfAttentivePooling(nn.Cell):
    """Pool by an attentive mean, whose weights differ from channel to channel.

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

    def __init__(self, channels: int, attention_channels: int = 128, eps: float = 0.0) -> None:
        super().__init__()
        refuse_eps("sap", eps)
        self.channels = channels
        self.out_channels = channels
        self.form = building_form()
        self.softmax = SoftmaxOverTime()
        self.linear1 = Conv1d(channels, attention_channels)
        self.linear2 = Conv1d(attention_channels, channels)

    def construct(self, x: Tensor) -> Tensor:
        x = channels_over_time(x, self.channels)
        # In mixed precision only the products of the attention are half.
        weight = self.softmax(self.linear2(tanh(self.linear1(x))).astype(ms.float32))
        return weighted_sum(x.astype(ms.float32), weight, self.form).squeeze(2)
