"""Convolution over time, in the form that the target device computes fast."""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

FORMS = ("product", "native")
WIDEST_TRANSPOSED = 2048
"""Channels up to which a product with the transposed weight beats the framework's own gradient of the input."""


def conv_form(device_target: str) -> str:
    """Return the form of TimeConv1d for a device: products on a CPU, the framework's convolution elsewhere."""
    return "product" if device_target == "CPU" else "native"


class TimeConv1d(nn.Cell):
    """Convolve over time with reflected edges, so that T frames stay T frames (SpeechBrain's `Conv1d`, padding "same").

    MindSpore's CPU kernel for a convolution longer than one frame runs a hundred times slower than its matrix product
    (2.10), so "product" stacks the shifted inputs and multiplies once. Both forms hold the same parameters and give
    the same numbers. The weight has MindSpore's shape, (out, in, 1, k): a reshape in the graph would copy it each time.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: frames seen at once, odd.
        dilation: distance between them, frames.
        form: "product" or "native", see `conv_form`.

    Inputs:
        - **x** - (B, in_channels, T), T > dilation * (kernel_size - 1) / 2.

    Outputs:
        (B, out_channels, T).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 1, dilation: int = 1, form: str = "product"
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` must be odd, got {kernel_size}.")
        if form not in FORMS:
            raise ValueError(f"`form` must be one of {FORMS}, got {form!r}.")
        self.pad = dilation * (kernel_size - 1) // 2
        # Frames that each tap sees of the extended input; constants, so that one graph serves every length.
        self.taps = [(start, start - 2 * self.pad or None) for start in range(0, 2 * self.pad + 1, dilation)]
        bound = 1 / math.sqrt(in_channels * kernel_size)  # torch's default, on which the published recipes rely
        shape = (out_channels, in_channels, 1, kernel_size)
        self.weight = Parameter(Tensor(np.random.uniform(-bound, bound, shape), ms.float32), name="weight")
        self.bias = Parameter(Tensor(np.random.uniform(-bound, bound, out_channels), ms.float32), name="bias")
        self.stacked = form == "product" and kernel_size > 1
        native_size = 1 if form == "product" else kernel_size
        self.stacked_shape = (out_channels, kernel_size * in_channels, 1, 1)
        self.conv = ops.Conv2D(out_channels, (1, native_size), pad_mode="valid", dilation=(1, dilation))
        is_narrow = max(out_channels, kernel_size * in_channels) <= WIDEST_TRANSPOSED
        self.input_gradient = _InputGradient(self.stacked_shape[1]) if form == "product" and is_narrow else None

    def construct(self, x: Tensor) -> Tensor:
        if self.pad > 0:
            x = reflect(x, self.pad)
        weight = self.weight
        if self.stacked:
            x = ops.cat([x[:, :, start:stop] for start, stop in self.taps], axis=1)  # (B, kC, T)
            weight = weight.swapaxes(1, 3).reshape(self.stacked_shape)  # tap-major, as the stack
        x, weight = x.expand_dims(2), weight.astype(x.dtype)
        if self.training and self.input_gradient is not None:
            y = self.conv(ops.stop_gradient(x), weight)
            y = self.input_gradient(x, ops.stop_gradient(weight), y)
        else:
            y = self.conv(x, weight)
        return add_bias(y.squeeze(2), self.bias)


class _InputGradient(nn.Cell):
    """Return y, the product of x and weight, and give x its gradient by a product with the transposed weight.

    MindSpore's own CPU kernel for that gradient takes 1.5 to 2.2 times as long as a forward product (2.10).

    Args:
        in_channels: channels of x.

    Inputs:
        - **x** - (B, in_channels, 1, T).
        - **weight** - (out, in_channels, 1, 1); gets no gradient here.
        - **y** - (B, out, 1, T); its own gradient passes.

    Outputs:
        y.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = ops.Conv2D(in_channels, 1)

    def construct(self, x: Tensor, weight: Tensor, y: Tensor) -> Tensor:
        return y

    def bprop(self, x: Tensor, weight: Tensor, y: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.conv(dout, weight.swapaxes(0, 1)), ops.zeros_like(weight), dout


def project(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply the channels of (B, in, T) by a weight (out, in, 1, 1): (B, out, T)."""
    return ops.Conv2D(weight.shape[0], 1)(x.expand_dims(2), weight.astype(x.dtype)).squeeze(2)


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """Add one value a channel (C,) to (B, C, T): on a CPU, the sum's gradient takes three times as long (2.10)."""
    return ops.BiasAdd()(x.expand_dims(2), bias.astype(x.dtype)).squeeze(2)


def reflect(x: Tensor, pad: int) -> Tensor:
    """Extend (B, C, T) by `pad` frames on both sides, mirrored at the edge frames; T > pad.

    Built from one-frame slices: the framework's constant padding has a wrong gradient from the second execution of a
    CPU graph on (2.10), and its mirror padding cannot be exported.
    """
    left = [x[:, :, frame : frame + 1] for frame in range(pad, 0, -1)]
    right = [x[:, :, -1 - frame : -frame] for frame in range(1, pad + 1)]
    return ops.cat([*left, x, *right], axis=2)
