"""A layer of a transformer's encoder (Vaswani et al. 2017, arXiv:1706.03762) over frames."""

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvox.layers.activation import Gelu
from mindvox.layers.conv import Conv1d
from mindvox.layers.norm import ChannelLayerNorm
from mindvox.layers.over_time import SoftmaxOverTime


class SelfAttention(nn.Cell):
    """Multi-head self-attention: each frame becomes a mean of all frames, weighted by their similarity to it.

    Memory grows with the square of the number of frames.

    Args:
        channels: number of input and output channels.
        num_heads: number of heads, which split the channels and have separate weights; must divide `channels`.

    Inputs:
        - **x** - (B, channels, T).

    Outputs:
        (B, channels, T).
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f"`num_heads` must divide {channels} channels, got {num_heads}.")
        self.head_size = channels // num_heads
        self.channels = channels
        self.scale = Tensor(self.head_size**-0.5, ms.float32)  # a tensor: old MindSpore Lite lacks Muls
        self.query = Conv1d(channels, channels)
        self.key = Conv1d(channels, channels)
        self.value = Conv1d(channels, channels)
        self.out = Conv1d(channels, channels)
        self.softmax = SoftmaxOverTime()
        self.likeness = ops.BatchMatMul(transpose_a=True)
        self.mean = ops.BatchMatMul(transpose_b=True)

    def construct(self, x: Tensor) -> Tensor:
        num_frames = x.shape[2]
        query = self.query(x)
        query = (query * self.scale.astype(query.dtype)).reshape(-1, self.head_size, num_frames)
        key = self.key(x).reshape(-1, self.head_size, num_frames)
        value = self.value(x).reshape(-1, self.head_size, num_frames)
        weights = self.softmax(self.likeness(query, key).astype(ms.float32)).astype(value.dtype)  # (B heads, T, T)
        return self.out(self.mean(value, weights).reshape(-1, self.channels, num_frames))


class TransformerLayer(nn.Cell):
    """Self-attention, then two products for each frame; each part has a residual connection and a layer norm after it.

    Args:
        channels, num_heads: see `SelfAttention`.
        hidden_channels: number of channels between the two products.

    Inputs:
        - **x** - (B, channels, T).

    Outputs:
        (B, channels, T).
    """

    def __init__(self, channels: int, hidden_channels: int, num_heads: int) -> None:
        super().__init__()
        self.attention = SelfAttention(channels, num_heads)
        self.norm1 = ChannelLayerNorm(channels)
        self.linear1 = Conv1d(channels, hidden_channels)
        self.gelu = Gelu(approximate=True)
        self.linear2 = Conv1d(hidden_channels, channels)
        self.norm2 = ChannelLayerNorm(channels)

    def construct(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.linear2(self.gelu(self.linear1(x))))
