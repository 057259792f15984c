"""Time-delay layer: convolution, ReLU, batch normalisation."""

from mindspore import Tensor, nn, ops

from mindvox.layers.conv import Conv1d
from mindvox.layers.norm import batch_norm


class TDNNBlock(nn.Cell):
    """Convolve over time, rectify, normalise, in SpeechBrain's order.

    Args:
        in_channels: number of input channels.
        out_channels: number of output channels.
        kernel_size: kernel size, frames, odd.
        dilation: distance between the frames of the kernel, frames.
        padding: padding at the edges, see `Conv2d`.
        affine: see `batch_norm_2d`.

    Inputs:
        - **x** - (B, in_channels, T).

    Outputs:
        (B, out_channels, T); with "valid", there are dilation * (kernel_size - 1) frames fewer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        dilation: int = 1,
        padding: str = "reflect",
        affine: bool = True,
    ) -> None:
        super().__init__()
        self.conv = Conv1d(in_channels, out_channels, kernel_size, dilation=dilation, padding=padding)
        self.norm = batch_norm(out_channels, affine)

    def construct(self, x: Tensor) -> Tensor:
        return self.norm(ops.relu(self.conv(x)))
