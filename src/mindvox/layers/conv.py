"""Convolutions in the form that is fast on the target device; see `building_for`."""

import math
from typing import Optional, Union

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindvox.layers.building import building_form, has_fast_cpu_convolution
from mindvox.layers.over_time import for_each_frame

PADDINGS = ("reflect", "zero", "valid")
WIDEST_TRANSPOSED = 2048
"""Number of channels up to which a product with the transposed weight is faster than the framework's input gradient."""

Size = Union[int, tuple[int, int]]
"""One number for both axes, or (frequency, time)."""


class Conv2d(nn.Cell):
    """Convolve over frequency and time.

    The product form stacks, on the channel axis, the inputs that belong to the taps over time. One product then
    computes the output channels of each tap over frequency. They are cut to the bins that belong to the tap, and added.
    If the input has few channels, the taps over frequency are stacked too, and one product gives the result. The
    framework's own convolution is used on other devices, and where it is fast on a CPU (`has_fast_cpu_convolution`).
    The weight has the framework's shape (out, in / groups, k, k) in all forms.

    Args:
        in_channels: number of input channels.
        out_channels: number of output channels.
        kernel_size: kernel size over frequency and time.
        stride: distance between outputs, bins and frames.
        dilation: distance between the inputs of a kernel, bins and frames.
        groups: number of channel groups that are convolved separately.
        bias: add a trained value per channel.
        padding: padding at the edges: "reflect" mirrors at the edge value, "zero" adds zeros, "valid" adds nothing, so
            that the output is shorter.
        pad: bins and frames added on each side; None: as many as keep the size with stride 1, which needs an odd
            kernel size.

    Inputs:
        - **x** - (B, in_channels, F, T); F is the same in all calls.

    Outputs:
        (B, out_channels, F', T'), each size (size + 2 pad - dilation (kernel_size - 1) - 1) // stride + 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 1,
        stride: Size = 1,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding: str = "zero",
        pad: Optional[Size] = None,
    ) -> None:
        super().__init__()
        kernel, stride, dilation = (pair(size) for size in (kernel_size, stride, dilation))
        if min(in_channels, out_channels, groups, *kernel, *stride, *dilation) < 1:
            raise ValueError("channels, `groups`, `kernel_size`, `stride` and `dilation` must be at least 1.")
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"`groups` must divide {in_channels} and {out_channels} channels, got {groups}.")
        if padding not in PADDINGS:
            raise ValueError(f"`padding` must be one of {PADDINGS}, got {padding!r}.")
        self.spans = tuple(step * (size - 1) for size, step in zip(kernel, dilation, strict=True))
        self.pad = _pad(kernel, self.spans, padding, pad)
        self.padding = padding
        self.kernel, self.stride, self.dilation = kernel, stride, dilation
        bound = 1 / math.sqrt(in_channels // groups * kernel[0] * kernel[1])  # torch's default, which recipes rely on
        shape = (out_channels, in_channels // groups, *kernel)
        self.weight = Parameter(Tensor(np.random.uniform(-bound, bound, shape), ms.float32), name="weight")
        self.bias = None
        if bias:
            self.bias = Parameter(Tensor(np.random.uniform(-bound, bound, out_channels), ms.float32), name="bias")
        # Only a product: without the steps of the general form, a graph is compiled faster.
        self.is_pointwise = groups == 1 and kernel == stride == (1, 1) and self.pad == (0, 0)
        is_fast = has_fast_cpu_convolution() and groups == 1 and not self.is_pointwise
        self.is_native = building_form() == "native" or is_fast
        if self.is_native:
            # The operation itself adds zeros; `_extended` adds mirrored values.
            mode = {"pad_mode": "pad", "pad": (self.pad[0],) * 2 + (self.pad[1],) * 2} if padding == "zero" else {}
            self.conv = ops.Conv2D(out_channels, kernel, stride=stride, dilation=dilation, group=groups, **mode)
            added = self.pad if padding == "zero" else (0, 0)
            if is_fast and stride == (1, 1) and added[0] <= self.spans[0] and added[1] <= self.spans[1]:
                self.conv = _Convolution(self.conv, _InputGradient(in_channels, kernel, dilation, added))
            return
        self.stacks_rows = groups == 1 and kernel[0] > 1 and in_channels * kernel[0] * kernel[1] <= out_channels
        num_stacked = kernel[1] * in_channels // groups * (kernel[0] if self.stacks_rows else 1)
        self.product = Product(num_stacked, out_channels)  # for all forms with a single product
        self.groups = groups
        self.row_shape = (out_channels, num_stacked, 1, 1)
        self.grouped_shape = (groups, out_channels // groups, num_stacked)
        # The frames of each tap, counted from both ends: constants, so that one graph works for every length.
        self.taps = [(start, start - self.spans[1] or None) for start in range(0, self.spans[1] + 1, dilation[1])]
        self.rows = list(range(0, self.spans[0] + 1, dilation[0]))
        self.adds_rows = groups == 1 and kernel[0] > 1 and not self.stacks_rows
        if self.adds_rows:
            self._place_rows(num_stacked)

    def construct(self, x: Tensor) -> Tensor:
        weight = self.weight.astype(x.dtype)
        if self.is_native:
            x = self._extended(x) if self.padding == "reflect" else x
            y = self.conv(x, weight)
        elif self.is_pointwise:
            y = self.product(x, weight)
        else:
            y = self._multiply(self._extended(x), weight)
        return y if self.bias is None else ops.BiasAdd()(y, self.bias.astype(y.dtype))

    def _extended(self, x: Tensor) -> Tensor:
        """Add `pad` bins and frames on each side."""
        if self.padding != "reflect":
            return extended_by_zeros(x, self.pad)
        if self.pad[1] > 0:
            x = _reflect_time(x, self.pad[1])
        return _reflect_bins(x, self.pad[0]) if self.pad[0] > 0 else x

    def _multiply(self, x: Tensor, weight: Tensor) -> Tensor:
        x = self._stacked(x)
        if len(self.rows) == 1 and self.stride[0] == 1:
            return self._row(x, weight)
        num_bins = (x.shape[2] - self.spans[0] - 1) // self.stride[0] + 1
        if self.stride[0] > 1:
            x = self._phases(x)
        if self.adds_rows:
            return self._sum_of_rows(x, weight, num_bins)
        seen = []
        for row in self.rows:
            first, phase = row // self.stride[0], row % self.stride[0]
            end = first + num_bins
            seen.append(x[:, :, first:end] if self.stride[0] == 1 else x[:, :, first:end, phase])
        if self.stacks_rows:
            weight = weight.transpose(0, 2, 3, 1)  # tap-major, like the stack
            return self.product(ops.cat(seen, axis=1), weight.reshape(self.row_shape))
        y = self._row(seen[0], weight[:, :, :1])
        for index in range(1, len(seen)):
            y = y + self._row(seen[index], weight[:, :, index : index + 1])
        return y

    def _place_rows(self, num_stacked: int) -> None:
        """Create a product for each phase of the stride over frequency, for the taps that use this phase.

        A product takes all bins, a few more than its taps need. Cutting its output costs less than cutting the stack,
        which is larger by the number of taps over time (MindSpore 2.10: a step takes 0.85 to 1.0 of the time).
        """
        phases = sorted({row % self.stride[0] for row in self.rows})
        self.phases = [
            (phase, [index for index, row in enumerate(self.rows) if row % self.stride[0] == phase]) for phase in phases
        ]
        out_channels = self.row_shape[0]
        self.products = nn.CellList([Product(num_stacked, out_channels * len(taps)) for _, taps in self.phases])
        self.splits = [ops.Split(1, len(taps)) for _, taps in self.phases]
        self.phase_shapes = [(out_channels * len(taps), num_stacked, 1, 1) for _, taps in self.phases]

    def _sum_of_rows(self, x: Tensor, weight: Tensor, num_bins: int) -> Tensor:
        """Multiply the stack (B, k * in, F, T') or its phases (B, k * in, F / stride, stride, T'), and add the rows."""
        weight = weight.transpose(2, 0, 3, 1)  # tap-major, like the stack
        rows = []
        for index, product in enumerate(self.products):
            phase, taps = self.phases[index]
            seen = x if self.stride[0] == 1 else x[:, :, :, phase]
            of_taps = [weight[tap : tap + 1] for tap in taps] if len(self.phases) > 1 else [weight]
            of_taps = of_taps[0] if len(of_taps) == 1 else ops.cat(of_taps, axis=0)
            parts = self.splits[index](product(seen, of_taps.reshape(self.phase_shapes[index])))
            for place in range(len(taps)):
                first = self.rows[taps[place]] // self.stride[0]
                rows.append(parts[place][:, :, first : first + num_bins])
        y = rows[0]
        for index in range(1, len(rows)):
            y = y + rows[index]
        return y

    def _stacked(self, x: Tensor) -> Tensor:
        """Return (B, k * in, F, T'): the inputs of each tap over time, concatenated on the channel axis."""
        if len(self.taps) == 1:
            return x if self.stride[1] == 1 else x[:, :, :, :: self.stride[1]]
        if self.stride[1] == 1:
            seen = [x[:, :, :, start:stop] for start, stop in self.taps]
        else:
            seen = [x[:, :, :, start : stop : self.stride[1]] for start, stop in self.taps]
        return ops.cat(seen, axis=1)

    def _phases(self, x: Tensor) -> Tensor:
        """Return (B, C, ceil(F / stride), stride, T).

        Bin f is at (f // stride, f % stride). A slice with a step would do the same, but its gradient fails on a CPU
        (2.10).
        """
        step = self.stride[0]
        rest = -x.shape[2] % step
        if rest > 0:
            x = ops.cat((x, ops.zeros_like(x[:, :, :rest])), axis=2)
        return x.reshape(x.shape[0], x.shape[1], x.shape[2] // step, step, x.shape[3])

    def _row(self, x: Tensor, weight: Tensor) -> Tensor:
        """Multiply (B, k * in, F, T) by the taps over time of one tap over frequency, (out, in / groups, 1, k)."""
        if self.kernel[1] > 1:
            weight = weight.swapaxes(1, 3)  # tap-major, like the stack
        if self.groups == 1:
            return self.product(x, weight.reshape(self.row_shape) if self.kernel[1] > 1 else weight)
        batch, bins, frames = x.shape[0], x.shape[2], x.shape[3]
        group_size = x.shape[1] // self.kernel[1] // self.groups
        x = x.reshape(batch, self.kernel[1], self.groups, group_size, bins * frames).swapaxes(1, 2)
        x = x.reshape(batch, self.groups, self.kernel[1] * group_size, bins * frames)
        return ops.matmul(weight.reshape(self.grouped_shape), x).reshape(batch, -1, bins, frames)


class Conv1d(Conv2d):
    """Convolve over time; by default edges are mirrored and T frames stay T frames (SpeechBrain's "same").

    Args:
        in_channels, out_channels, groups, bias, padding: see `Conv2d`.
        kernel_size, stride, dilation, pad: see `Conv2d`, frames. The weight is (out, in / groups, 1, k).

    Inputs:
        - **x** - (B, in_channels, T); with "reflect", T > pad.

    Outputs:
        (B, out_channels, T').
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        padding: str = "reflect",
        pad: Optional[int] = None,
    ) -> None:
        sizes = (1, kernel_size), (1, stride), (1, dilation)
        super().__init__(
            in_channels, out_channels, *sizes, groups, bias, padding, pad=None if pad is None else (0, pad)
        )

    def construct(self, x: Tensor) -> Tensor:
        return super().construct(x.expand_dims(2)).squeeze(2)


class ContextConv1d(Conv1d):
    """Multiply [x; context] by a weight; the same context is concatenated to each frame of x.

    The context's part of the product is computed once, not for every frame. This saves work and, in float32, most of
    the rounding error of its gradient. Parameters are those of `Conv1d` over the concatenated input.

    Args:
        channels: number of channels of a frame.
        context_channels: number of channels of the context.
        out_channels: number of output channels.

    Inputs:
        - **x** - (B, channels, T).
        - **context** - (B, context_channels, 1).

    Outputs:
        (B, out_channels, T).
    """

    def __init__(self, channels: int, context_channels: int, out_channels: int) -> None:
        super().__init__(channels + context_channels, out_channels)
        self.channels = channels
        self.form = building_form()

    def construct(self, x: Tensor, context: Tensor) -> Tensor:  # type: ignore[override]
        context = add_bias(project(context, self.weight[:, self.channels :]), self.bias)
        return project(x, self.weight[:, : self.channels]) + for_each_frame(context, x, self.form)


class _Convolution(nn.Cell):
    """Convolve by a primitive; in training, compute the input's gradient by a cell.

    Args:
        conv: the primitive.
        input_gradient: its `_InputGradient`; None: the framework computes the gradient.

    Inputs:
        - **x** - (B, in, F, T).
        - **weight** - (out, in, k, k).

    Outputs:
        (B, out, F', T').
    """

    def __init__(self, conv: ops.Conv2D, input_gradient: Optional["_InputGradient"]) -> None:
        super().__init__()
        self.conv = conv
        self.input_gradient = input_gradient

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.training and self.input_gradient is not None:
            y = self.conv(ops.stop_gradient(x), weight)
            return self.input_gradient(x, ops.stop_gradient(weight), y)
        return self.conv(x, weight)


class Product(_Convolution):
    """Multiply channels by a weight; in training, compute the input's gradient with the transposed weight.

    The framework's CPU kernel for that gradient takes 1.5 to 2.2 times as long as a forward product (2.10).

    Args:
        in_channels: number of input channels.
        out_channels: number of output channels.

    Inputs:
        - **x** - (B, in_channels, F, T).
        - **weight** - (out_channels, in_channels, 1, 1).

    Outputs:
        (B, out_channels, F, T).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        is_narrow = max(in_channels, out_channels) <= WIDEST_TRANSPOSED
        super().__init__(ops.Conv2D(out_channels, 1), _InputGradient(in_channels) if is_narrow else None)


class _InputGradient(nn.Cell):
    """Return y, the convolution of x and weight; compute the gradient of x as a convolution with the flipped weight.

    Args:
        in_channels: number of channels of x.
        kernel_size, dilation: those of the convolution, whose stride is 1.
        pad: number of bins and frames that the convolution adds on each side of x, at most dilation (kernel_size - 1).

    Inputs:
        - **x** - (B, in_channels, F, T).
        - **weight** - (out, in_channels, k, k); gets no gradient here.
        - **y** - (B, out, F', T'); its gradient passes unchanged.

    Outputs:
        y.
    """

    def __init__(
        self,
        in_channels: int,
        kernel_size: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        pad: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        bins, frames = (step * (size - 1) - added for size, step, added in zip(kernel_size, dilation, pad, strict=True))
        padding = (bins, bins, frames, frames)
        self.conv = ops.Conv2D(in_channels, kernel_size, pad_mode="pad", pad=padding, dilation=dilation)
        self.is_flipped = kernel_size != (1, 1)
        self.flip = ops.ReverseV2((2, 3))

    def construct(self, x: Tensor, weight: Tensor, y: Tensor) -> Tensor:
        return y

    def bprop(self, x: Tensor, weight: Tensor, y: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        flipped = weight.swapaxes(0, 1)
        if self.is_flipped:
            flipped = self.flip(flipped)
        return self.conv(dout, flipped), ops.zeros_like(weight), dout


def project(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply the channels of (B, in, T) by a weight (out, in, 1, 1): (B, out, T)."""
    return ops.Conv2D(weight.shape[0], 1)(x.expand_dims(2), weight.astype(x.dtype)).squeeze(2)


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """Add one value per channel (C,) to (B, C, T); on a CPU the gradient of a sum takes three times as long (2.10)."""
    return ops.BiasAdd()(x.expand_dims(2), bias.astype(x.dtype)).squeeze(2)


# Edges are concatenated from slices: the framework's constant padding gives a wrong gradient from the second execution
# of a CPU graph on (2.10), and its mirror padding cannot be exported.


def _reflect_time(x: Tensor, pad: int) -> Tensor:
    left = [x[:, :, :, frame : frame + 1] for frame in range(pad, 0, -1)]
    right = [x[:, :, :, -1 - frame : -frame] for frame in range(1, pad + 1)]
    return ops.cat([*left, x, *right], axis=3)


def _reflect_bins(x: Tensor, pad: int) -> Tensor:
    left = [x[:, :, row : row + 1] for row in range(pad, 0, -1)]
    right = [x[:, :, -1 - row : -row] for row in range(1, pad + 1)]
    return ops.cat([*left, x, *right], axis=2)


def extended_by_zeros(x: Tensor, pad: tuple[int, int]) -> Tensor:
    """Add bins and frames of zeros on each side of x (B, C, F, T)."""
    if pad[1] > 0:
        zeros = [ops.zeros_like(x[:, :, :, :1])] * pad[1]  # x may have fewer frames than there are zeros
        x = ops.cat([*zeros, x, *zeros], axis=3)
    if pad[0] > 0:
        zeros = ops.zeros_like(x[:, :, : pad[0]])
        x = ops.cat((zeros, x, zeros), axis=2)
    return x


def pair(size: Size) -> tuple[int, int]:
    """Return a size for (frequency, time)."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _pad(kernel: tuple[int, int], spans: tuple[int, ...], padding: str, pad: Optional[Size]) -> tuple[int, int]:
    if padding == "valid":
        if pad is not None:
            raise ValueError(f"`pad` must be None with padding 'valid', got {pad}.")
        return 0, 0
    if pad is not None:
        return pair(pad)
    if any(size % 2 == 0 for size in kernel):
        raise ValueError(f"`kernel_size` must be odd, or `pad` must be given, got {kernel}.")
    return spans[0] // 2, spans[1] // 2
