"""CAM++ (Wang, Zheng, Chen, Cheng, Chen 2023, arXiv:2303.00332), so that the weights of 3D-Speaker, wespeaker and
mvector fit: 2-D convolutions, then densely connected time-delay layers, each with a mask computed from the context.

The toolkits' versions differ in one number, see `pooling_eps`. This one takes any feature size F, as mvector's does,
and leaves ceil(F / 8) rows after the 2-D convolutions; the others take only multiples of 8.
"""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.layers.conv import Conv2d
from mindvox.layers.norm import batch_norm_2d
from mindvox.layers.pooling import create_pooling
from mindvox.layers.residual import BasicBlock
from mindvox.registry import POOLINGS

FRONT_CHANNELS = 32
FRONT_STRIDE = 8  # total stride of the front over frequency
SEGMENT = 100  # frames that share a mask
DILATIONS = (1, 2, 2)  # dilation of each dense block, frames


class Front(nn.Cell):
    """2-D convolutions that reduce frequency by 8 (the paper's front-end convolution module).

    Args:
        in_channels: feature size, F.

    Inputs:
        - **feats** - (B, T, F).

    Outputs:
        (B, 32 * ceil(F / 8), 1, T), the channels of the convolutions outermost.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.out_channels = FRONT_CHANNELS * -(-in_channels // FRONT_STRIDE)
        self.conv1 = Conv2d(1, FRONT_CHANNELS, 3, bias=False)
        self.norm1 = batch_norm_2d(FRONT_CHANNELS)
        self.layer1 = nn.CellList([BasicBlock(FRONT_CHANNELS, FRONT_CHANNELS, (stride, 1)) for stride in (2, 1)])
        self.layer2 = nn.CellList([BasicBlock(FRONT_CHANNELS, FRONT_CHANNELS, (stride, 1)) for stride in (2, 1)])
        self.conv2 = Conv2d(FRONT_CHANNELS, FRONT_CHANNELS, 3, stride=(2, 1), bias=False)
        self.norm2 = batch_norm_2d(FRONT_CHANNELS)

    def construct(self, feats: Tensor) -> Tensor:
        x = feats.swapaxes(1, 2).expand_dims(1)  # (B, 1, F, T)
        x = ops.relu(self.norm1(self.conv1(x)))
        for block in self.layer1:
            x = block(x)
        for block in self.layer2:
            x = block(x)
        x = ops.relu(self.norm2(self.conv2(x)))
        return x.reshape(-1, self.out_channels, 1, x.shape[3])


class Segments(nn.Cell):
    """Cut frames into segments of equal size; the last one has the remaining frames.

    It uses only products and slices, because every runtime of exported models supports those, also for a dynamic T.

    Args:
        size: frames of a segment.

    Inputs:
        - **x** - (B, C, 1, T); only its shape is used.

    Outputs:
        - **members** - (n, T), float32, n = ceil(T / size): 1 where a frame is in a segment, else 0. `values @ members`
          copies the values (.., n) of the segments to their frames, (.., T).
        - **averages** - (T, n), float32: `x @ averages` is the mean of x (.., T) over all frames plus its mean over
          each segment.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.row = Tensor(np.ones((1, size), np.float32))
        self.product = ops.MatMul()
        self.product_transposed = ops.MatMul(transpose_b=True)

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        frames = ops.ones_like(ops.stop_gradient(x)[0, :1, 0].astype(ms.float32))  # (1, T)
        column = frames[:, :: self.size].swapaxes(0, 1)  # (n, 1)
        ones = self.product(column, self.row.astype(ms.float32))  # (n, size); half in mixed precision
        zeros = ops.zeros_like(self.product(column, ones.reshape(1, -1)))  # (n, n * size)
        # Concatenate n rows of `size` ones and n * size zeros, then cut the result into rows of n * size: in each row
        # the ones are `size` columns further right than in the row above.
        stairs = ops.cat((ones, zeros), axis=1).reshape(1, -1)
        members = stairs[:, : zeros.reshape(1, -1).shape[1]].reshape(zeros.shape)[:, : frames.shape[1]]
        of_segments = members / self.product_transposed(members, frames)
        of_all = frames / self.product_transposed(frames, frames)
        return members, (of_segments + of_all).swapaxes(0, 1)


class MaskedConv(nn.Cell):
    """Convolve over time, and scale each channel by a mask computed from the context (the paper's CAM layer).

    The context of a frame is the mean over the utterance plus the mean over the frame's segment. It is the same for all
    frames of a segment, so the mask is computed once per segment.

    Args:
        in_channels: number of input channels.
        out_channels: number of output channels.
        dilation: distance between the three frames of the kernel, frames.

    Inputs:
        - **x** - (B, in_channels, 1, T).
        - **members**, **averages** - see `Segments`.

    Outputs:
        (B, out_channels, 1, T).
    """

    def __init__(self, in_channels: int, out_channels: int, dilation: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.linear_local = Conv2d(in_channels, out_channels, (1, 3), dilation=(1, dilation), bias=False)
        self.linear1 = Conv2d(in_channels, in_channels // 2)
        self.linear2 = Conv2d(in_channels // 2, out_channels)

    def construct(self, x: Tensor, members: Tensor, averages: Tensor) -> Tensor:
        num_segments, num_frames = members.shape
        # The means are float32 in mixed precision too.
        context = ops.MatMul()(x.reshape(-1, num_frames).astype(ms.float32), averages.astype(ms.float32))
        context = context.reshape(-1, self.in_channels, 1, num_segments).astype(x.dtype)
        mask = ops.sigmoid(self.linear2(ops.relu(self.linear1(context))))
        mask = ops.MatMul()(mask.reshape(-1, num_segments), members.astype(mask.dtype))
        return self.linear_local(x) * mask.reshape(-1, self.out_channels, 1, num_frames)


class DenseLayer(nn.Cell):
    """Batch norm, ReLU and a 1x1 convolution that reduces the channels; batch norm, ReLU and a `MaskedConv`.

    Args:
        in_channels: number of input channels.
        bottleneck: number of reduced channels.
        out_channels: number of output channels.
        dilation: see `MaskedConv`.

    Inputs:
        - **x** - (B, in_channels, 1, T).
        - **members**, **averages** - see `Segments`.

    Outputs:
        (B, out_channels, 1, T).
    """

    def __init__(self, in_channels: int, bottleneck: int, out_channels: int, dilation: int) -> None:
        super().__init__()
        self.norm1 = batch_norm_2d(in_channels)
        self.linear1 = Conv2d(in_channels, bottleneck, bias=False)
        self.norm2 = batch_norm_2d(bottleneck)
        self.cam_layer = MaskedConv(bottleneck, out_channels, dilation)

    def construct(self, x: Tensor, members: Tensor, averages: Tensor) -> Tensor:
        x = self.linear1(ops.relu(self.norm1(x)))
        return self.cam_layer(ops.relu(self.norm2(x)), members, averages)


class DenseBlock(nn.Cell):
    """Dense layers, each of which takes the block's input and all earlier outputs; then halve the channels.

    Args:
        in_channels: number of input channels.
        num_layers: number of layers.
        growth_rate: channels that each layer adds.
        bottleneck: see `DenseLayer`.
        dilation: see `MaskedConv`.

    Inputs:
        - **x** - (B, in_channels, 1, T).
        - **members**, **averages** - see `Segments`.

    Outputs:
        (B, (in_channels + num_layers * growth_rate) // 2, 1, T).
    """

    def __init__(self, in_channels: int, num_layers: int, growth_rate: int, bottleneck: int, dilation: int) -> None:
        super().__init__()
        sizes = [in_channels + index * growth_rate for index in range(num_layers + 1)]
        self.layers = nn.CellList([DenseLayer(size, bottleneck, growth_rate, dilation) for size in sizes[:-1]])
        self.out_channels = sizes[-1] // 2
        self.transit_norm = batch_norm_2d(sizes[-1])
        self.transit = Conv2d(sizes[-1], self.out_channels, bias=False)

    def construct(self, x: Tensor, members: Tensor, averages: Tensor) -> Tensor:
        for layer in self.layers:
            x = ops.cat((x, layer(x, members, averages)), axis=1)
        return self.transit(ops.relu(self.transit_norm(x)))


class CamPlusPlus(nn.Cell):
    """CAM++: frames to one embedding per utterance.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, in_channels), T >= 3.

    Outputs:
        Embeddings, (B, emb_size), not length-normalised.
    """

    @dataclass
    class Options:
        """Keys of the section `model`."""

        in_channels: int = option(80, "feature size", minimum=1)
        emb_size: int = option(
            192, "embedding size: 512 in 3D-Speaker's and wespeaker's VoxCeleb models, 192 in others", minimum=1
        )
        init_channels: int = option(128, "number of channels before the first dense block", minimum=1)
        growth_rate: int = option(32, "number of channels that each dense layer adds", minimum=1)
        bottleneck_factor: int = option(
            4, "number of channels inside a dense layer, as a multiple of growth_rate", minimum=2
        )
        block1_layers: int = option(12, "number of dense layers in the first block", minimum=1)
        block2_layers: int = option(24, "number of dense layers in the second block", minimum=1)
        block3_layers: int = option(16, "number of dense layers in the third block", minimum=1)
        pooling: str = option("statistics", "pooling over time", choices=tuple(POOLINGS))
        pooling_eps: float = option(
            0.0, "constant added to variances in the pooling; 0: the pooling's default; wespeaker has 1e-7", minimum=0
        )

    min_frames = 3  # the first stride leaves 2 of 3 frames, the fewest for a deviation

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        bottleneck = options.bottleneck_factor * options.growth_rate
        self.head = Front(options.in_channels)
        self.tdnn = Conv2d(self.head.out_channels, options.init_channels, (1, 5), stride=(1, 2), bias=False)
        self.tdnn_norm = batch_norm_2d(options.init_channels)
        self.segments = Segments(SEGMENT)
        depths = options.block1_layers, options.block2_layers, options.block3_layers
        channels, blocks = options.init_channels, []
        for num_layers, dilation in zip(depths, DILATIONS, strict=True):
            blocks.append(DenseBlock(channels, num_layers, options.growth_rate, bottleneck, dilation))
            channels = blocks[-1].out_channels
        self.blocks = nn.CellList(blocks)
        self.out_norm = batch_norm_2d(channels)
        self.pool = create_pooling(options.pooling, channels, options.pooling_eps)
        self.dense = Conv2d(self.pool.out_channels, options.emb_size, bias=False)
        self.dense_norm = batch_norm_2d(options.emb_size, affine=False)

    def construct(self, feats: Tensor) -> Tensor:
        x = self.head(feats)
        x = ops.relu(self.tdnn_norm(self.tdnn(x)))  # half the frames
        members, averages = self.segments(x)
        for block in self.blocks:
            x = block(x, members, averages)
        x = self.pool(ops.relu(self.out_norm(x)))
        x = self.dense(x.expand_dims(2).expand_dims(3))
        return self.dense_norm(x).squeeze(3).squeeze(2)
