"""Shapes and types of the results of each operation; ValueError if inputs or attributes do not fit."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from mindvox.deploy.graph import sizes
from mindvox.deploy.graph.sizes import Shape, Size

if TYPE_CHECKING:
    from mindvox.deploy.graph.ir import Value

Inputs = Sequence[Optional["Value"]]
Attributes = dict[str, Any]
Result = list[tuple[Shape, np.dtype]]
"""Shape and type of each output."""

BOOL, FLOAT32, INT64 = np.dtype(bool), np.dtype(np.float32), np.dtype(np.int64)


def broadcast(*shapes: Shape) -> Shape:
    """Return the shape of an elementwise operation, by NumPy's rules."""
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(_broadcast_axis(entries) for entries in zip(*padded, strict=True))


def _broadcast_axis(entries: Sequence[Size]) -> Size:
    wide = {entry for entry in entries if entry != 1}
    fixed = {entry for entry in wide if isinstance(entry, int)}
    _require(len(fixed) <= 1, f"sizes {sorted(fixed)} of one axis")
    if fixed:
        return fixed.pop()
    result: Size = 1
    for entry in wide:
        result = sizes.maximum(result, entry)
    return result


def window(size: Size, kernel: int, stride: int, dilation: int, pads: int) -> Size:
    """Return the number of positions of a window on an axis."""
    span = dilation * (kernel - 1) + 1
    return sizes.add(sizes.floordiv(sizes.add(size, pads - span), stride), 1)


def _windows(x: Shape, kernel: Sequence[int], attributes: Attributes) -> Shape:
    strides, same = attributes["strides"], attributes.get("auto_pad") == "SAME_UPPER"
    rank = len(kernel)
    dilations = attributes.get("dilations", (1,) * rank)
    pads = attributes.get("pads", (0,) * 2 * rank)
    _require(len(x) == rank + 2, f"a window of {rank} axes over a tensor of {len(x)}")
    _require(len(strides) == len(dilations) == rank and len(pads) == 2 * rank, "options for another number of axes")
    _require(min(*kernel, *strides, *dilations) >= 1 and min(pads) >= 0, "a window of impossible size")
    if same:
        return tuple(sizes.ceildiv(size, stride) for size, stride in zip(x[2:], strides, strict=True))
    return tuple(
        window(x[2 + axis], kernel[axis], strides[axis], dilations[axis], pads[axis] + pads[rank + axis])
        for axis in range(rank)
    )


def _same(inputs: Inputs, attributes: Attributes) -> Result:
    x = _first(inputs)
    return [(x.shape, x.dtype)]


def _elementwise(inputs: Inputs, attributes: Attributes) -> Result:
    values = _given(inputs)
    _require(len({value.dtype for value in values}) == 1, "operands of different types")
    return [(broadcast(*(value.shape for value in values)), values[0].dtype)]


def _comparison(inputs: Inputs, attributes: Attributes) -> Result:
    ((shape, _),) = _elementwise(inputs, attributes)
    return [(shape, BOOL)]


def _where(inputs: Inputs, attributes: Attributes) -> Result:
    condition, *values = _given(inputs)
    _require(condition.dtype == BOOL, "a condition that is not true or false")
    ((shape, dtype),) = _elementwise(values, attributes)
    return [(broadcast(condition.shape, shape), dtype)]


def _conv(inputs: Inputs, attributes: Attributes) -> Result:
    x, weight, *bias = _given(inputs)
    group, (out_channels, in_channels, *kernel) = attributes["group"], weight.shape
    known = [size for size in (out_channels, in_channels, *kernel) if isinstance(size, int)]
    _require(len(known) == len(weight.shape) >= 3, "a weight of free size")
    _require(group >= 1 and x.shape[1] == known[1] * group and known[0] % group == 0, "channels that do not fit")
    _require(all(value.shape == (out_channels,) for value in bias), "a bias that does not fit")
    return [((x.shape[0], out_channels, *_windows(x.shape, known[2:], attributes)), x.dtype)]


def _pool(inputs: Inputs, attributes: Attributes) -> Result:
    x = _first(inputs)
    return [((*x.shape[:2], *_windows(x.shape, attributes["kernel_shape"], attributes)), x.dtype)]


def _batch_norm(inputs: Inputs, attributes: Attributes) -> Result:
    x, *statistics = _given(inputs)
    _require(len(statistics) == 4 and len(x.shape) >= 2, "a batch norm that lacks something")
    _require(all(value.shape == (x.shape[1],) for value in statistics), "statistics of other channels")
    return [(x.shape, x.dtype)]


def _layer_norm(inputs: Inputs, attributes: Attributes) -> Result:
    x, *scales = _given(inputs)
    axis = check_axis(attributes["axis"], len(x.shape))
    _require(all(value.shape == x.shape[axis:] for value in scales), "scales of another shape")
    return [(x.shape, x.dtype)]


def _reduce(inputs: Inputs, attributes: Attributes) -> Result:
    x, axes = _first(inputs), attributes["axes"]
    _require(len(axes) == len({check_axis(axis, len(x.shape)) for axis in axes}), f"axes {axes}")
    if attributes["keepdims"]:
        shape: Shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    else:
        shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    return [(shape, x.dtype)]


def _along_axis(inputs: Inputs, attributes: Attributes) -> Result:
    x = _first(inputs)
    check_axis(attributes["axis"], len(x.shape))
    return [(x.shape, x.dtype)]


def _transpose(inputs: Inputs, attributes: Attributes) -> Result:
    x, perm = _first(inputs), attributes["perm"]
    _require(sorted(perm) == list(range(len(x.shape))), f"an order of axes {perm}")
    return [(tuple(x.shape[axis] for axis in perm), x.dtype)]


def _concat(inputs: Inputs, attributes: Attributes) -> Result:
    values, axis = _given(inputs), attributes["axis"]
    first = values[0]
    check_axis(axis, len(first.shape))
    shape = list(first.shape)
    for value in values[1:]:
        _require(len(value.shape) == len(shape) and value.dtype == first.dtype, "parts of different kinds")
        for position, size in enumerate(value.shape):
            if position == axis:
                shape[axis] = sizes.add(shape[axis], size)
            elif isinstance(size, int):
                _require(shape[position] == size or not isinstance(shape[position], int), "parts that do not fit")
                shape[position] = size
    return [(tuple(shape), first.dtype)]


def _split(inputs: Inputs, attributes: Attributes) -> Result:
    x, axis, parts = _first(inputs), attributes["axis"], attributes["num_outputs"]
    check_axis(axis, len(x.shape))
    _require(1 <= parts <= 2**16, f"{parts} parts")
    rest = sizes.mod(x.shape[axis], parts)
    _require(rest == 0 or not isinstance(rest, int), f"{parts} equal parts of {x.shape[axis]}")
    shape = (*x.shape[:axis], sizes.floordiv(x.shape[axis], parts), *x.shape[axis + 1 :])
    return [(shape, x.dtype)] * parts


def _slice(inputs: Inputs, attributes: Attributes) -> Result:
    x = _first(inputs)
    shape = list(x.shape)
    for axis, start, stop, step in attributes["parts"]:
        check_axis(axis, len(shape))
        _require(step >= 1 or (step == -1 and (start, stop) == (0, shape[axis])), f"a step of {step}")
        shape[axis] = sizes.maximum(sizes.ceildiv(sizes.sub(stop, start), abs(step)), 0)
    return [(tuple(shape), x.dtype)]


def _pad(inputs: Inputs, attributes: Attributes) -> Result:
    x, pads = _first(inputs), attributes["pads"]
    rank = len(x.shape)
    _require(len(pads) == 2 * rank and min(pads, default=0) >= 0, f"pads {pads}")
    return [(tuple(sizes.add(size, pads[axis] + pads[rank + axis]) for axis, size in enumerate(x.shape)), x.dtype)]


def _reshape(inputs: Inputs, attributes: Attributes) -> Result:
    x, shape = _first(inputs), attributes["shape"]
    before, after = sizes.product(x.shape), sizes.product(shape)
    known = isinstance(before, int) and isinstance(after, int)
    _require(not known or before == after, f"{before} elements as {after}")
    return [(shape, x.dtype)]


def _expand(inputs: Inputs, attributes: Attributes) -> Result:
    x = _first(inputs)
    return [(broadcast(x.shape, attributes["shape"]), x.dtype)]


def _fill(inputs: Inputs, attributes: Attributes) -> Result:
    return [(attributes["shape"], attributes["dtype"])]


def _size(inputs: Inputs, attributes: Attributes) -> Result:
    return [((), INT64)]


def _range(inputs: Inputs, attributes: Attributes) -> Result:
    return [((attributes["size"],), INT64)]


def _cast(inputs: Inputs, attributes: Attributes) -> Result:
    return [(_first(inputs).shape, attributes["dtype"])]


def _gather(inputs: Inputs, attributes: Attributes) -> Result:
    x, indices = _given(inputs)
    axis = check_axis(attributes["axis"], len(x.shape))
    _require(indices.dtype.kind == "i", "indices that are no integers")
    return [((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)]


def _matmul(inputs: Inputs, attributes: Attributes) -> Result:
    left, right = _given(inputs)
    _require(min(len(left.shape), len(right.shape)) >= 2, "a product of vectors")
    rows, inner, columns = left.shape[-2], {left.shape[-1], right.shape[-2]}, right.shape[-1]
    _require(len([size for size in inner if isinstance(size, int)]) <= 1, f"a product over {inner}")
    _require(left.dtype == right.dtype, "operands of different types")
    return [((*broadcast(left.shape[:-2], right.shape[:-2]), rows, columns), left.dtype)]


def _lstm(inputs: Inputs, attributes: Attributes) -> Result:
    x, hidden = _first(inputs), attributes["hidden_size"]
    _require(len(x.shape) == 3 and hidden >= 1, "a recurrence over a tensor that has not three axes")
    state = (1, x.shape[1], hidden)
    return [((x.shape[0], *state), x.dtype), (state, x.dtype), (state, x.dtype)]


UNARY = ("Abs", "Erf", "Exp", "Log", "Neg", "Not", "Reciprocal", "Relu", "LeakyRelu", "Sigmoid", "Sin", "Sqrt", "Tanh")
BINARY = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "And", "Or")
COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
REDUCTIONS = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum")

SHAPES: dict[str, Callable[[Inputs, Attributes], Result]] = {
    **dict.fromkeys(UNARY, _same),
    **dict.fromkeys(BINARY, _elementwise),
    **dict.fromkeys(COMPARISONS, _comparison),
    **dict.fromkeys(REDUCTIONS, _reduce),
    "AveragePool": _pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Concat": _concat,
    "Conv": _conv,
    "Expand": _expand,
    "Fill": _fill,
    "Gather": _gather,
    "LSTM": _lstm,
    "LayerNormalization": _layer_norm,
    "LogSoftmax": _along_axis,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Size": _size,
    "Slice": _slice,
    "Softmax": _along_axis,
    "Split": _split,
    "Transpose": _transpose,
    "Where": _where,
}


def check_axis(axis: int, rank: int) -> int:
    """Return an axis, counted from the front.

    Raises:
        ValueError: there is no such axis.
    """
    _require(isinstance(axis, int) and 0 <= axis < rank, f"axis {axis} of a tensor of {rank}")
    return axis


def _first(inputs: Inputs) -> "Value":
    return _given(inputs)[0]


def _given(inputs: Inputs) -> list["Value"]:
    values = [value for value in inputs if value is not None]
    _require(bool(values), "no inputs")
    return values


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(f"it has {what}")
