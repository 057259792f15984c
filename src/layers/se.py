"""Squeeze and excitation (Hu et al. 2018, arXiv:1709.01507)."""

from mindspore import Tensor, nn, ops

from src.layers.conv import TimeConv1d


class SEBlock(nn.Cell):
    """Scale each channel by a gate computed from the utterance's mean.

    Args:
        channels: channels of input and output.
        bottleneck: channels between the two products.
        form: see `TimeConv1d`.

    Inputs:
        - **x** - (B, channels, T).

    Outputs:
        (B, channels, T).
    """

    def __init__(self, channels: int, bottleneck: int = 128, form: str = "product") -> None:
        super().__init__()
        self.conv1 = TimeConv1d(channels, bottleneck, form=form)
        self.conv2 = TimeConv1d(bottleneck, channels, form=form)

    def construct(self, x: Tensor) -> Tensor:
        gate = x.mean(axis=2, keep_dims=True)
        gate = ops.sigmoid(self.conv2(ops.relu(self.conv1(gate))))
        return x * gate
