"""ReDimNet2 (Yakovlev and Okhotnikov 2026, arXiv:2603.11841) as wespeaker builds it, so that its weights fit.

Six stages reshape frames to maps (B, C, F, T) and back to channels (B, C * F, T). The product C * F stays the same, so
that each stage can take a weighted sum of all outputs before it. A stage convolves maps at its resolution of bins and
frames, then applies wide convolutions over time and self-attention, and repeats its frames to the number of input
frames.

The sizes are wespeaker's ReDimNet2B0 to ReDimNet2B6. Its files also name kernel sizes of the convolutions, but its
blocks ignore them: all are 3x3, there and here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.layers.activation import Gelu
from mindvox.layers.conv import Conv1d, Conv2d
from mindvox.layers.norm import ChannelLayerNorm, batch_norm, batch_norm_2d
from mindvox.layers.pooling import create_pooling
from mindvox.layers.self_attention import TransformerLayer
from mindvox.registry import POOLINGS

KERNELS = (7, 19, 31, 59)
"""Kernel sizes of the convolutions before the self-attention, frames."""
NUM_HEADS = 4
TOTAL_STRIDE = 4
"""Stride over time of the last stages relative to the input, the same in every size."""


class StageSize(NamedTuple):
    """The sizes of a stage.

    Attributes:
        bins: stride of its first convolution over frequency; the number of channels is multiplied by it.
        frames: further stride over time, multiplied by those of the stages before it.
        blocks: number of residual blocks.
        expansion: number of channels of the blocks, as a multiple of those of the stage's output.
        reduction: C * F divided by the number of channels of self-attention.
    """

    bins: int
    frames: int
    blocks: int
    expansion: float
    reduction: int


class Size(NamedTuple):
    """A published network.

    Attributes:
        channels: number of channels C of the first convolution.
        head: number of output channels of the 1x1 convolution before the pooling; 0: there is none.
        head_of_maps: that convolution takes maps and keeps their bins; otherwise it takes channels.
        stages: see `StageSize`.
    """

    channels: int
    head: int
    head_of_maps: bool
    stages: tuple[StageSize, ...]

    def bins(self) -> int:
        """Return the stride of all stages together over frequency."""
        return math.prod(stage.bins for stage in self.stages)


def _stages(
    bins: Sequence[int], blocks: Sequence[int], expansions: Sequence[float], reductions: Sequence[int]
) -> tuple[StageSize, ...]:
    frames = (1, 1, 2, 1, 2, 1)
    return tuple(StageSize(*numbers) for numbers in zip(bins, frames, blocks, expansions, reductions, strict=True))


_BINS, _BLOCKS = (1, 2, 1, 2, 1, 2), (2, 3, 4, 5, 4, 3)
_NARROW, _WIDE = (2, 1, 1, 1, 1, 1), (4, 3, 2, 1, 1, 1)
SIZES = {
    "b0": Size(12, 64, False, _stages(_BINS, _BLOCKS, _NARROW, (36, 36, 36, 36, 18, 18))),
    "b1": Size(16, 64, False, _stages(_BINS, _BLOCKS, _NARROW, (32, 32, 32, 32, 16, 16))),
    "b2": Size(20, 64, False, _stages((1, 2, 1, 3, 1, 2), _BLOCKS, _NARROW, (40, 30, 30, 20, 20, 10))),
    "b3": Size(24, 64, False, _stages(_BINS, _BLOCKS, _NARROW, (36, 36, 36, 36, 18, 18))),
    "b4": Size(32, 0, False, _stages(_BINS, _BLOCKS, _WIDE, (24,) * 6)),
    "b5": Size(48, 256, False, _stages(_BINS, _BLOCKS, _WIDE, (48, 48, 48, 48, 32, 32))),
    "b6": Size(64, 224, True, _stages(_BINS, (3, 4, 5, 5, 4, 3), (3, 2, 2, 1, 0.75, 0.5), (64, 64, 48, 48, 32, 24))),
}


class WeightedSum(nn.Cell):
    """Sum tensors with a weight per tensor and channel; the weights of a channel are a softmax over the tensors.

    Args:
        num_inputs: number of tensors; a single one has no weights.
        channels: number of channels of each.

    Inputs:
        - **inputs** - tuple of num_inputs tensors (B, channels, T).

    Outputs:
        (B, channels, T).
    """

    def __init__(self, num_inputs: int, channels: int) -> None:
        super().__init__()
        self.shape = (channels, 1, num_inputs)
        self.w = None
        if num_inputs > 1:
            self.w = Parameter(ops.zeros((1, num_inputs, channels, 1), ms.float32), name="w")

    def construct(self, inputs: tuple[Tensor, ...]) -> Tensor:
        if self.w is None:
            return inputs[0]
        weights = ops.softmax(self.w.swapaxes(1, 2).reshape(self.shape), axis=-1)
        joined = ops.cat([each.expand_dims(2) for each in inputs], axis=2)  # (B, channels, num_inputs, T)
        return ops.matmul(weights.astype(joined.dtype), joined).squeeze(2)


class ToMaps(nn.Cell):
    """Reshape channels (B, num_bins * C, T) to maps (B, C, num_bins, T)."""

    def __init__(self, num_bins: int, channels: int) -> None:
        super().__init__()
        self.shape = (num_bins, channels)

    def construct(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *self.shape, x.shape[2]).swapaxes(1, 2)


class ToChannels(nn.Cell):
    """Reshape maps (B, C, F, T) to channels (B, F * C, T); the channels of a bin are consecutive."""

    def construct(self, x: Tensor) -> Tensor:
        return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[1] * x.shape[2], x.shape[3])


class RepeatFrames(nn.Cell):
    """Repeat each frame of (B, C, T) `times` times: (B, C, T * times)."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def construct(self, x: Tensor) -> Tensor:
        if self.times == 1:
            return x
        x = x.expand_dims(3)
        return ops.cat([x] * self.times, axis=3).reshape(x.shape[0], x.shape[1], x.shape[2] * self.times)


class SeparableBlock(nn.Cell):
    """Two depthwise 3x3 convolutions, each followed by a 1x1 convolution, with a residual connection.

    Args:
        channels: number of input and output channels.

    Inputs:
        - **x** - (B, channels, F, T).

    Outputs:
        (B, channels, F, T).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, channels, 3, groups=channels, bias=False)
        self.product1 = Conv2d(channels, channels)
        self.norm1 = batch_norm_2d(channels)
        self.conv2 = Conv2d(channels, channels, 3, groups=channels, bias=False)
        self.product2 = Conv2d(channels, channels)
        self.norm2 = batch_norm_2d(channels)

    def construct(self, x: Tensor) -> Tensor:
        y = self.norm1(ops.relu(self.product1(self.conv1(x))))
        return ops.relu(self.norm2(self.product2(self.conv2(y))) + x)


class TimeBlock(nn.Cell):
    """Depthwise convolution over time, batch norm, GELU, 1x1 convolution, residual connection (a ConvNeXt block).

    Args:
        channels: number of input and output channels.
        kernel_size: kernel size, frames.

    Inputs:
        - **x** - (B, channels, T).

    Outputs:
        (B, channels, T).
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = Conv1d(channels, channels, kernel_size, groups=channels, padding="zero")
        self.norm = batch_norm(channels)
        self.gelu = Gelu()
        self.product = Conv1d(channels, channels)

    def construct(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return x + self.product(self.gelu(y))


class TimeContext(nn.Cell):
    """Add to each frame a context computed from many frames, with a reduced number of channels.

    Args:
        channels: number of input and output channels.
        hidden_channels: number of channels of the convolutions and the self-attention.

    Inputs:
        - **x** - (B, channels, T).

    Outputs:
        (B, channels, T).
    """

    def __init__(self, channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.reduce = Conv1d(channels, hidden_channels)
        self.norm = ChannelLayerNorm(hidden_channels)
        self.blocks = nn.SequentialCell(*(TimeBlock(hidden_channels, size) for size in KERNELS))
        self.transformer = TransformerLayer(hidden_channels, hidden_channels, NUM_HEADS)
        self.expand = Conv1d(hidden_channels, channels)

    def construct(self, x: Tensor) -> Tensor:
        return x + self.expand(self.transformer(self.blocks(self.norm(self.reduce(x)))))


class ReDimNet2(nn.Cell):
    """ReDimNet2: frames to one embedding per utterance. Frames after the last multiple of 4 are dropped.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, in_channels), T >= 4.

    Outputs:
        Embeddings, (B, emb_size), not length-normalised.
    """

    @dataclass
    class Options:
        """Keys of the section `model`."""

        in_channels: int = option(72, "feature size; a multiple of 8, and of 12 for b2", minimum=1)
        emb_size: int = option(192, "embedding size", minimum=1)
        size: str = option(
            "b2", "size of the network, as in wespeaker's ReDimNet2B0 to ReDimNet2B6", choices=tuple(SIZES)
        )
        channels: int = option(0, "number of channels of the first convolution; 0: set by size", minimum=0)
        stage_blocks: int = option(0, "number of residual blocks in every stage; 0: set by size", minimum=0)
        pooling: str = option("astp", "pooling over time", choices=tuple(POOLINGS))
        pooling_eps: float = option(
            0.0, "constant added to variances in the pooling; 0: the pooling's default", minimum=0
        )

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            size = self.resolved()
            if self.in_channels % size.bins():
                return [f"in_channels: {self.size} needs a multiple of {size.bins()}, got {self.in_channels}."]
            total = size.channels * self.in_channels
            if any(total // stage.reduction % NUM_HEADS or total < stage.reduction for stage in size.stages):
                divisors = ", ".join(str(stage.reduction) for stage in size.stages)
                return [
                    f"channels: {self.size} needs channels * in_channels whose quotients by {divisors} are multiples "
                    f"of {NUM_HEADS}, the number of attention heads, got {size.channels} * {self.in_channels}."
                ]
            return []

        def resolved(self) -> Size:
            """Return the size, with channels and blocks replaced by the keys that set them."""
            size = SIZES[self.size]
            stages = tuple(stage._replace(blocks=self.stage_blocks or stage.blocks) for stage in size.stages)
            return size._replace(channels=self.channels or size.channels, stages=stages)

    min_frames = TOTAL_STRIDE

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        size = options.resolved()
        channels, num_bins, repeats = size.channels, options.in_channels, 1
        total = channels * num_bins
        self.stem = Conv2d(1, channels, 3)
        self.stem_norm = ChannelLayerNorm(channels)
        self.to_channels = ToChannels()
        stages = []
        for index, stage in enumerate(size.stages):
            repeats *= stage.frames
            stages.append(_stage(index + 1, stage, channels, num_bins, repeats))
            channels, num_bins = channels * stage.bins, num_bins // stage.bins
        self.stages = nn.CellList(stages)
        self.sum = WeightedSum(len(size.stages) + 1, total)
        self.to_maps = ToMaps(num_bins, channels) if size.head_of_maps else None
        pooled = total
        self.head: Optional[nn.Cell] = None
        if size.head_of_maps:
            self.head, pooled = Conv2d(channels, size.head), size.head * num_bins
        elif size.head:
            self.head, pooled = Conv1d(total, size.head), size.head
        self.pool = create_pooling(options.pooling, pooled, options.pooling_eps)
        self.norm = batch_norm(self.pool.out_channels)
        self.linear = Conv1d(self.pool.out_channels, options.emb_size)

    def construct(self, feats: Tensor) -> Tensor:
        x = feats[:, : feats.shape[1] // TOTAL_STRIDE * TOTAL_STRIDE].swapaxes(1, 2).expand_dims(1)  # (B, 1, F, T)
        outputs: tuple[Tensor, ...] = (self.to_channels(self.stem_norm(self.stem(x))),)
        for stage in self.stages:
            outputs = (*outputs, stage(outputs))
        x = self.sum(outputs)
        if self.to_maps is not None:
            x = self.to_maps(x)
        if self.head is not None:
            x = self.head(x)
        return self.linear(self.norm(self.pool(x)).expand_dims(2)).squeeze(2)


def _stage(num_inputs: int, stage: StageSize, channels: int, num_bins: int, repeats: int) -> nn.SequentialCell:
    """Return a stage, with Cells in wespeaker's order.

    It takes all outputs before it, each (B, channels * num_bins, T), and returns one more of that shape.

    Args:
        num_inputs: number of outputs before it.
        stage: its sizes.
        channels, num_bins: C and F of the maps to which the outputs are reshaped.
        repeats: stride of its first convolution over time, frames.
    """
    total, out_channels = channels * num_bins, channels * stage.bins
    inner = int(out_channels * stage.expansion)
    kernel = (stage.bins, repeats)
    groups = math.gcd(channels, inner)
    cells = [WeightedSum(num_inputs, total), ToMaps(num_bins, channels)]
    cells += [Conv2d(channels, inner, kernel, stride=kernel, groups=groups, padding="valid")]
    cells += [SeparableBlock(inner) for _ in range(stage.blocks)]
    if stage.expansion != 1:
        cells += [nn.SequentialCell(Conv2d(inner, out_channels), batch_norm_2d(out_channels, eps=1e-6))]
    cells += [ToChannels(), TimeContext(total, total // stage.reduction), RepeatFrames(repeats)]
    return nn.SequentialCell(*cells)
