"""Networks for the conversion of MINDIR: what real models have, and one output for every operator that is known.

They are in a file of their own because MindSpore compiles from files only.
"""

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindvox.layers.conv import Conv1d, Conv2d

SEGMENT = 4  # frames


class Residual(nn.Cell):
    """Two 3x3 convolutions with batch norms; strides on frequency and time."""

    def __init__(self, in_channels: int, out_channels: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, out_channels, 3, stride=stride, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = Conv2d(out_channels, out_channels, 3, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(out_channels)

    def construct(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(ops.relu(self.norm1(self.conv1(x)))))
        return ops.relu(y + self.shortcut_norm(self.shortcut(x)))


class ResNet(nn.Cell):
    """Features (B, T, 8) to an embedding, and the means over segments as a further output (B, T', 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv2d(1, 4, (3, 5), stride=(1, 2))
        self.block1 = Residual(4, 6, (2, 1))
        self.block2 = Residual(6, 8, (2, 2))
        self.norm = nn.BatchNorm1d(32)
        self.lstm = nn.LSTM(16, 5, batch_first=True)
        self.embed = nn.Dense(32 + 5, 6)

    def construct(self, feats: Tensor) -> tuple[Tensor, Tensor]:
        x = ops.relu(self.stem(feats.swapaxes(1, 2).expand_dims(1)))
        x = self.block2(self.block1(x))
        batch, channels, bins, frames = x.shape
        x = x.reshape(batch, channels * bins, frames)
        mean = x.mean(axis=2)
        variance = ops.square(x - mean.expand_dims(2)).sum(axis=2) / (frames - 1)
        statistics = self.norm(ops.cat((mean, ops.sqrt(variance + 1e-5)), axis=1))
        whole = frames // SEGMENT * SEGMENT
        segments = x[:, :, :whole].reshape(batch, channels * bins, frames // SEGMENT, SEGMENT).mean(axis=3)
        segments = segments.swapaxes(1, 2)
        states, _ = self.lstm(segments)
        return self.embed(ops.cat((statistics, states[:, -1]), axis=1)), segments


class Padded(nn.Cell):
    """One-dimensional convolutions with each padding, and wide parts that are convolved together."""

    def __init__(self) -> None:
        super().__init__()
        self.mirrored = Conv1d(4, 256, 5, dilation=2)
        self.zeros = Conv1d(4, 256, 3, padding="zero", bias=False)
        self.joined = Conv1d(512, 4, 1)
        self.shift = Parameter(Tensor(np.random.standard_normal(4), ms.float32), name="shift")

    def construct(self, x: Tensor) -> Tensor:
        x = x.swapaxes(1, 2)
        y = self.joined(ops.cat((ops.relu(self.mirrored(x)), self.zeros(x)), axis=1))
        y = y + self.shift.reshape(1, 4, 1)
        half = ops.sigmoid(y + y)
        return half + half - 1 + y


class Numbers(nn.Cell):
    """Operators on numbers, x (B, T, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm((4,))

    def construct(self, x: Tensor) -> tuple[Tensor, ...]:
        positive = ops.abs(x) + 1.5
        mask = x > 0.25
        same = ops.logical_or(ops.logical_and(mask, x >= 0.1), ops.logical_not(x < positive))
        return (
            ops.exp(ops.minimum(x, 1.0)) - ops.sin(x) + ops.erf(x),
            (x * 2.0) / 3.0,
            1.0 / positive + ops.rsqrt(positive) + ops.reciprocal(positive),
            ops.select(same, x, -x),
            ops.masked_fill(x, mask, -1.0),
            ops.pow(positive, 1.5) + ops.silu(x),
            ops.where(x <= positive, x, positive),
            ops.where(ops.equal(mask, same), x, positive),
            ops.where(x != positive, x, positive),
            self.norm(x) + ops.relu6(x) + ops.log_softmax(x, 2),
            ops.clip_by_value(x, -1.0, 1.0),
            ops.clamp(x, min=-0.5),
            mask.astype(ms.float32),
            ops.maximum(ops.log(positive), ops.sqrt(positive)),
        )


class Shapes(nn.Cell):
    """Operators on shapes and sizes, x (B, T, 4) with T >= 5."""

    def __init__(self) -> None:
        super().__init__()
        self.index = Tensor(np.array([3, 0, 2]), ms.int32)
        self.weight = Tensor(np.arange(12).reshape(3, 4), ms.float32)
        self.product = ops.MatMul(transpose_b=True)
        self.max_pool = nn.MaxPool2d(2, 2)
        self.average = nn.AvgPool2d((1, 2), (1, 2))

    def construct(self, x: Tensor) -> tuple[Tensor, ...]:
        batch, frames = x.shape[0], x.shape[1]
        image = x.expand_dims(1)
        filled = ops.zeros((batch, frames), ms.float32) + ops.full((1, frames), 3.0, dtype=ms.float32)
        best, _ = x.max(axis=1, return_indices=True)
        return (
            ops.gather(x, self.index, 2),
            ops.stack((x, x + 1.0), axis=1),
            ops.tile(x, (1, 2, 3)),
            ops.broadcast_to(x[:, :1], (-1, 5, -1)),
            ops.flip(x, (1,)),
            ops.arange(frames).astype(ms.float32) + x[:, :, 0],
            filled + ops.ones((batch, 1), ms.float32) + ops.ones_like(x[:, :, 1]) + ops.zeros_like(x[:, :, 1]),
            ops.flatten(x),
            self.product(x.reshape(-1, 4), self.weight),
            ops.bmm(x, x.swapaxes(1, 2)),
            best + ops.amin(x, 1) + x.sum(axis=1) + x.mean(1) + ops.amax(x, 1) + ops.ReduceSum()(x, 1),
            x[:, frames - 3 : frames - 1],
            x / frames,
            x[:, -(-frames // 4) :],
            x[:, frames % 3 : frames + 1],
            x[:, ::2],
            self.max_pool(image),
            self.average(image),
        )
