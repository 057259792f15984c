"""Batch normalisation with torch's defaults; MindSpore's momentum is 1 - torch's."""

from mindspore import nn

EPS = 1e-5


def batch_norm(channels: int, affine: bool = True) -> nn.BatchNorm1d:
    """Return batch normalisation of (B, channels) or (B, channels, T); `affine`: see `batch_norm_2d`."""
    return nn.BatchNorm1d(channels, eps=EPS, momentum=0.9, affine=affine)


def batch_norm_2d(channels: int, affine: bool = True) -> nn.BatchNorm2d:
    """Return batch normalisation of (B, channels, F, T).

    Args:
        channels: number of channels.
        affine: train a factor and an offset a channel. Without it, gamma and beta still are parameters, of constant 1
            and 0.
    """
    return nn.BatchNorm2d(channels, eps=EPS, momentum=0.9, affine=affine)
