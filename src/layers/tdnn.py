"""Time-delay layer: convolution, ReLU, batch normalisation."""

from mindspore import Tensor, nn, ops

from src.layers.conv import TimeConv1d


class TDNNBlock(nn.Cell):
    """Convolve over time, rectify, normalise, in SpeechBrain's order.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: frames seen at once, odd.
        dilation: distance between them, frames.
        form: see `TimeConv1d`.

    Inputs:
        - **x** - (B, in_channels, T).

    Outputs:
        (B, out_channels, T).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 1, dilation: int = 1, form: str = "product"
    ) -> None:
        super().__init__()
        self.conv = TimeConv1d(in_channels, out_channels, kernel_size, dilation, form)
        self.norm = batch_norm(out_channels)

    def construct(self, x: Tensor) -> Tensor:
        return self.norm(ops.relu(self.conv(x)))


def batch_norm(channels: int) -> nn.BatchNorm1d:
    """Return batch normalisation with torch's defaults; MindSpore's momentum is 1 - torch's."""
    return nn.BatchNorm1d(channels, eps=1e-5, momentum=0.9, affine=True)
