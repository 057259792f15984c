"""Batch normalisation with torch's defaults (MindSpore's momentum is 1 - torch's), and layer normalisation."""

import mindspore as ms
from mindspore import Tensor, nn

EPS = 1e-5


def batch_norm(channels: int, affine: bool = True) -> nn.BatchNorm1d:
    """Return batch normalisation of (B, channels) or (B, channels, T); `affine`: see `batch_norm_2d`."""
    return nn.BatchNorm1d(channels, eps=EPS, momentum=0.9, affine=affine)


def batch_norm_2d(channels: int, affine: bool = True, eps: float = EPS) -> nn.BatchNorm2d:
    """Return batch normalisation of (B, channels, F, T).

    Args:
        channels: number of channels.
        affine: train a factor and an offset per channel. Without it, gamma and beta are still parameters, with the
            constant values 1 and 0.
        eps: added to the variance.
    """
    return nn.BatchNorm2d(channels, eps=eps, momentum=0.9, affine=affine)


class ChannelLayerNorm(nn.Cell):
    """Normalise the channels of each frame, or of each bin of a frame, in float32 (Ba et al. 2016, arXiv:1607.06450).

    Args:
        channels: number of input channels.
        eps: added to the biased variance.

    Inputs:
        - **x** - (B, channels, T) or (B, channels, F, T).

    Outputs:
        The same shape.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.norm = nn.LayerNorm((channels,), begin_norm_axis=-1, begin_params_axis=-1, epsilon=eps)

    def construct(self, x: Tensor) -> Tensor:
        # The operation normalises only the last axis.
        return self.norm(x.astype(ms.float32).swapaxes(1, -1)).swapaxes(1, -1).astype(x.dtype)
