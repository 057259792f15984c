"""Self-attentive pooling as mvector builds it (SAP)."""

import mindspore as ms
from mindspore import Tensor

from mindvox.layers.activation import tanh
from mindvox.layers.conv import Conv1d
from mindvox.layers.over_time import SoftmaxOverTime
from mindvox.layers.pooling.attentive import AttentiveMean


class SelfAttentivePooling(AttentiveMean):
    """Pool by an attentive mean, with separate weights for each channel.

    Args:
        channels, eps: see `AttentiveMean`.
        attention_channels: number of channels between the two products of the attention.
    """

    def __init__(self, channels: int, attention_channels: int = 128, eps: float = 0.0) -> None:
        super().__init__("sap", channels, eps)
        self.softmax = SoftmaxOverTime()
        self.linear1 = Conv1d(channels, attention_channels)
        self.linear2 = Conv1d(attention_channels, channels)

    def attention(self, x: Tensor) -> Tensor:
        """Return the weights of the frames of x (B, channels, T), the same shape."""
        # In mixed precision only the products of the attention are float16.
        return self.softmax(self.linear2(tanh(self.linear1(x))).astype(ms.float32))
