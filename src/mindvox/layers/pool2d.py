"""Max and mean pooling over neighbours in frequency and time."""

from mindspore import Tensor, nn, ops

from mindvox.layers.conv import Size, extended_by_zeros, pair


class MaxPool2d(nn.Cell):
    """Take the maximum of neighbouring bins and frames.

    Args:
        kernel_size: size of a neighbourhood, bins and frames.
        stride: distance between neighbourhoods, bins and frames.
        pad: bins and frames added on each side, at most half of `kernel_size`; they do not change the maximum.

    Inputs:
        - **x** - (B, C, F, T), F and T at least kernel_size - 2 pad.

    Outputs:
        (B, C, F', T'), each size (size + 2 pad - kernel_size) // stride + 1.
    """

    def __init__(self, kernel_size: Size, stride: Size, pad: Size = 0) -> None:
        super().__init__()
        self.pad = _checked_pad(kernel_size, pad)
        self.pool = ops.MaxPool(pair(kernel_size), pair(stride))

    def construct(self, x: Tensor) -> Tensor:
        # Edges are padded with their own values, which every neighbourhood there contains anyway. A large negative
        # constant would work too, but constant padding has a wrong gradient (2.10).
        if self.pad[1] > 0:
            left = [x[:, :, :, :1] for _ in range(self.pad[1])]
            right = [x[:, :, :, -1:] for _ in range(self.pad[1])]
            x = ops.cat([*left, x, *right], axis=3)
        if self.pad[0] > 0:
            left = [x[:, :, :1] for _ in range(self.pad[0])]
            right = [x[:, :, -1:] for _ in range(self.pad[0])]
            x = ops.cat([*left, x, *right], axis=2)
        return self.pool(x)


class AvgPool2d(nn.Cell):
    """Take the mean of neighbouring bins and frames; zeros added at the edges are included in the mean.

    Args:
        kernel_size, stride: see `MaxPool2d`.
        pad: bins and frames added on each side, at most half of `kernel_size`.

    Inputs:
        - **x** - (B, C, F, T), F and T at least kernel_size - 2 pad.

    Outputs:
        (B, C, F', T'), each size (size + 2 pad - kernel_size) // stride + 1.
    """

    def __init__(self, kernel_size: Size, stride: Size, pad: Size = 0) -> None:
        super().__init__()
        self.pad = _checked_pad(kernel_size, pad)
        self.pool = ops.AvgPool(pair(kernel_size), pair(stride))

    def construct(self, x: Tensor) -> Tensor:
        return self.pool(extended_by_zeros(x, self.pad))


def _checked_pad(kernel_size: Size, pad: Size) -> tuple[int, int]:
    pads = pair(pad)
    if any(not 0 <= 2 * added <= size for added, size in zip(pads, pair(kernel_size), strict=True)):
        raise ValueError(f"`pad` must be 0 to half of `kernel_size`, {kernel_size}, got {pad}.")
    return pads
