"""Convert MINDIR to ONNX operator by operator, for any network.

A table gives the ONNX form of each MindSpore operator. Sizes of free axes are kept as formulas of the input's sizes, so
that nearly all shapes become constants. `graph.rules` then writes the graph in the form that runtimes compute fast.

`mindspore.onnx` (2.10) cannot write our networks: it does not support reflected padding, pads convolutions in a wrong
order, hard-codes one length into every slice that runs to the end, and fails on axes given as numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from mindvox.deploy.graph import sizes
from mindvox.deploy.graph.ir import Graph, Value, integers
from mindvox.deploy.graph.rules import simplify
from mindvox.deploy.graph.shapes import BOOL, FLOAT32, INT64, check_axis
from mindvox.deploy.graph.sizes import Free, Shape, Size
from mindvox.deploy.mindir import Mindir, Operation, read_mindir
from mindvox.errors import InputError
from mindvox.files import PathLike

if TYPE_CHECKING:
    import onnx

WRITER = "2.10"
"""The MindSpore version whose order of arguments the table follows."""

DTYPES = {30: BOOL, 33: np.dtype(np.int32), 34: np.dtype(np.int32), 35: INT64, 41: FLOAT32, 43: FLOAT32}
"""Types of elements by MindSpore's code; float64 is not used."""

Argument = Any
"""A tensor (`Value`), a number, a size, a tuple of these, text, or None."""

Attributes = dict[str, Any]
Operator = Callable[[Graph, list[Argument], Attributes], Argument]


def mindir_to_onnx(
    path: PathLike,
    inputs: Sequence[Mapping[str, Any]],
    outputs: Sequence[Mapping[str, Any]],
    metadata: Mapping[str, str],
    min_length: int = 1,
) -> "onnx.ModelProto":
    """Return a MINDIR as an ONNX model that onnx's checker accepts.

    Args:
        path: a MINDIR of this project.
        inputs: "name" and "shape" of each input, in the order of the MINDIR, whose own names are not used; None in a
            shape is a free size.
        outputs: "name" and "shape" of each output.
        metadata: metadata of the model.
        min_length: least size of a free second axis of an input.

    Raises:
        InputError: the file is damaged, was written by another MindSpore than 2.10, has an unsupported operator, or has
            other inputs or outputs.
    """
    from mindvox.deploy.graph.onnx_model import to_onnx  # imported here: onnx takes time

    mindir = read_mindir(path)
    if not mindir.writer.startswith(f"{WRITER}."):
        raise InputError(
            f"{path}: MindSpore {mindir.writer or 'of unknown version'} wrote it; expected {WRITER}, whose order of "
            f"arguments the conversion to ONNX knows. Export the checkpoint with MindSpore {WRITER}."
        )
    unknown = [operation for operation in mindir.operations if operation.operator not in OPERATORS]
    if unknown:
        raise InputError(f"{path}: the conversion to ONNX does not know {_list_operators(unknown)}. Export as MINDIR.")
    try:
        graph = build_graph(mindir, inputs, [output["name"] for output in outputs], min_length)
        _check_outputs(graph, outputs)
        names = {size: _axis_name(value.name, axis) for value in graph.inputs for axis, size in enumerate(value.shape)}
        given = {value.name: _named_shape(value.name, value.shape, names) for value in graph.inputs}
        returned = {name: _named_shape(name, value.shape, names) for name, value in graph.outputs.items()}
        return to_onnx(simplify(graph), given, returned, metadata)
    except _CAUGHT as error:
        raise InputError(f"{path}: a damaged MINDIR, or not the model that is described: {error}.") from error


_CAUGHT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""Errors caused by damaged files, whose content differs from what the operators expect."""


def build_graph(
    mindir: Mindir, inputs: Sequence[Mapping[str, Any]], output_names: Sequence[str], min_length: int = 1
) -> Graph:
    """Return the operations of a MINDIR in ONNX's form; see `mindir_to_onnx`."""
    if len(inputs) != len(mindir.inputs):
        raise ValueError(f"{len(mindir.inputs)} inputs, expected {len(inputs)}")
    arguments: dict[str, Argument] = {}
    values = []
    for tensor, (name, shape) in zip(inputs, mindir.inputs.items(), strict=True):
        if list(shape) != list(tensor["shape"]):
            raise ValueError(f"{tensor['name']} has the shape {shape}, expected {tensor['shape']}")
        least = (1, min_length)
        free = [sizes.size_of_input(tensor["name"], axis, least[axis > 0]) for axis in range(len(shape))]
        known: Shape = tuple(free[axis] if size is None else size for axis, size in enumerate(shape))
        arguments[name] = Value(known, FLOAT32, name=tensor["name"])
        values.append(arguments[name])
    graph = Graph(values)
    for name, array in mindir.parameters.items():
        arguments[name] = graph.constant(array, name.rpartition(":")[2])
    for name, constant in mindir.constants.items():
        arguments[name] = graph.constant(constant) if isinstance(constant, np.ndarray) else constant
    for operation in mindir.operations:
        arguments[operation.name] = _convert(graph, operation, arguments)
    result = arguments[mindir.output]
    results = result if isinstance(result, tuple) else (result,)
    if len(results) != len(output_names) or not all(isinstance(value, Value) for value in results):
        raise ValueError(f"{len(results)} outputs, expected {len(output_names)}")
    graph.outputs = dict(zip(output_names, results, strict=True))
    return graph


def _convert(graph: Graph, operation: Operation, arguments: Mapping[str, Argument]) -> Argument:
    graph.scope = operation.scope
    try:
        given = [arguments[name] for name in operation.inputs]
        return OPERATORS[operation.operator](graph, given, operation.attributes)
    except _CAUGHT as error:
        raise ValueError(f"{operation.operator} of {_where(operation)}: {error}") from error


def _check_outputs(graph: Graph, outputs: Sequence[Mapping[str, Any]]) -> None:
    for output in outputs:
        shape = [size if isinstance(size, int) else None for size in graph.outputs[output["name"]].shape]
        if shape != list(output["shape"]):
            raise ValueError(f"{output['name']} has the shape {shape}, expected {output['shape']}")


def _list_operators(operations: Sequence[Operation]) -> str:
    first = {operation.operator: operation for operation in reversed(operations)}
    return ", ".join(f"{name} ({_where(operation)})" for name, operation in sorted(first.items()))


def _where(operation: Operation) -> str:
    node = operation.name.rpartition("construct_")[2]
    return f"node {node} in {operation.scope}" if operation.scope else f"node {node}"


def _named_shape(tensor: str, shape: Shape, names: Mapping[Size, str]) -> list[Union[int, str]]:
    """Return a shape with names for free sizes; an input's size keeps its name."""
    return [
        size if isinstance(size, int) else names.get(size, f"{tensor}_axis_{axis}") for axis, size in enumerate(shape)
    ]


def _axis_name(tensor: str, axis: int) -> str:
    """Return the name of a free size of an input."""
    if axis == 0:
        return "batch"
    return "samples" if tensor == "waveform" else "frames"


# --- arguments ---


def _tensor(value: Argument) -> Value:
    if not isinstance(value, Value):
        raise ValueError(f"expected a tensor, got {value!r}")
    return value


def _tensors(graph: Graph, values: Sequence[Argument]) -> list[Value]:
    """Return operands as tensors; numbers get the type of the others."""
    dtypes = [value.dtype for value in values if isinstance(value, Value)]
    return [_as_tensor(graph, value, dtypes[0] if dtypes else FLOAT32) for value in values]


def _as_tensor(graph: Graph, value: Argument, dtype: np.dtype) -> Value:
    if isinstance(value, Value):
        return value
    if isinstance(value, Free):
        size = graph.add("Size", size=value)
        return size if dtype == INT64 else graph.add("Cast", size, dtype=dtype)
    if isinstance(value, bool | int | float):
        return graph.constant(np.array(value, dtype))
    raise ValueError(f"expected a tensor or a number, got {value!r}")


def _sizes(value: Argument) -> tuple[Size, ...]:
    """Return a tuple of sizes; a single integer becomes one."""
    if isinstance(value, Value) and value.array is not None and value.dtype.kind == "i":
        value = tuple(int(entry) for entry in value.array.reshape(-1))
    entries = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(entry, int | Free) and not isinstance(entry, bool) for entry in entries):
        raise ValueError(f"expected sizes, got {value!r}")
    return entries


def _ints(value: Argument) -> tuple[int, ...]:
    return integers(_sizes(value))


def _int(value: Argument) -> int:
    (entry,) = _ints(value)
    return entry


def _axis(value: Argument, rank: int) -> int:
    axis = _int(value)
    return check_axis(axis + rank if axis < 0 else axis, rank)


def _axes(value: Argument, rank: int) -> tuple[int, ...]:
    """Return axes in order; none given: all."""
    if value is None or value == ():
        return tuple(range(rank))
    return tuple(sorted(_axis(axis, rank) for axis in _ints(value)))


def _given(args: Sequence[Argument], position: int, default: Argument = None) -> Argument:
    return args[position] if position < len(args) else default


def _flag(value: Argument) -> bool:
    if not isinstance(value, bool | int):
        raise ValueError(f"expected true or false, got {value!r}")
    return bool(value)


def _number(value: Argument) -> float:
    if isinstance(value, Value) and value.array is not None and value.array.size == 1:
        value = value.array.reshape(()).item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, got {value!r}")
    return float(value)


def _nchw(value: Argument) -> None:
    if value not in (None, 0, "NCHW", b"NCHW"):
        raise ValueError(f"a format other than NCHW ({value!r})")


# --- operators, in families ---


def _first(graph: Graph, args: list[Argument], attributes: Attributes) -> Argument:
    return args[0]


def _nothing(graph: Graph, args: list[Argument], attributes: Attributes) -> Argument:
    return None


def _elementwise(op: str, operands: int, **fixed: Any) -> Operator:
    def convert(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
        return graph.add(op, *_tensors(graph, args[:operands]), **fixed)

    return convert


def _square(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    x = _tensor(args[0])
    return graph.add("Mul", x, x)


def _rsqrt(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    return graph.add("Reciprocal", graph.add("Sqrt", _tensor(args[0])))


def _silu(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    x = _tensor(args[0])
    return graph.add("Mul", x, graph.add("Sigmoid", x))


def _relu6(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    x, six = _tensors(graph, (args[0], 6.0))
    return graph.add("Min", graph.add("Relu", x), six)


def _not_equal(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    return graph.add("Not", graph.add("Equal", *_tensors(graph, args[:2])))


def _clamp(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    x = _tensor(args[0])
    for op, bound in (("Max", _given(args, 1)), ("Min", _given(args, 2))):
        if bound is not None:
            x = graph.add(op, *_tensors(graph, (x, bound)))
    return x


def _masked_fill(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    x, value = _tensors(graph, (args[0], args[2]))
    return graph.add("Where", _tensor(args[1]), value, x)


def _select(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    return graph.add("Where", _tensor(args[0]), *_tensors(graph, args[1:3]))


def _cast(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    dtype = _dtype(args[1])
    return graph.add("Cast", _as_tensor(graph, args[0], INT64), dtype=dtype)


def _dtype(value: Argument, default: np.dtype = FLOAT32) -> np.dtype:
    if value is None:
        return default
    if _int(value) not in DTYPES:
        raise ValueError(f"a type of elements that is not known here ({value})")
    return DTYPES[_int(value)]


# --- shapes ---


def _shape(graph: Graph, args: list[Argument], attributes: Attributes) -> Shape:
    return _tensor(args[0]).shape


def _get_item(graph: Graph, args: list[Argument], attributes: Attributes) -> Argument:
    return args[0][_int(args[1])]


def _size_operator(compute: Callable[[Size, Size], Size]) -> Operator:
    def convert(graph: Graph, args: list[Argument], attributes: Attributes) -> Argument:
        left, right = _sizes(tuple(args[:2]))
        return compute(left, right)

    return convert


def _negated_size(graph: Graph, args: list[Argument], attributes: Attributes) -> Size:
    return sizes.mul(_sizes(args[0])[0], -1)


def _reshape(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    x, shape = _tensor(args[0]), list(_sizes(args[1]))
    if shape.count(-1) > 1:
        raise ValueError(f"several sizes are -1: {shape}")
    if -1 in shape:
        position = shape.index(-1)
        known = sizes.product(tuple(shape[:position] + shape[position + 1 :]))
        shape[position] = _quotient(x.shape, shape[:position] + shape[position + 1 :], known)
    return graph.reshape(x, tuple(shape))


def _quotient(whole: Shape, others: Sequence[Size], known: Size) -> Size:
    """Return the number of elements of a shape divided by the sizes in `others`, whose product is `known`."""
    rest = list(whole)
    left = [size for size in others if not _removed(rest, size)]
    return (
        sizes.floordiv(sizes.product(tuple(rest)), sizes.product(tuple(left))) if left else sizes.product(tuple(rest))
    )


def _removed(rest: list[Size], size: Size) -> bool:
    if size in rest:
        rest.remove(size)
        return True
    return size == 1


def _expand_dims(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    x = _tensor(args[0])
    axis = _axis(args[1], len(x.shape) + 1)
    return graph.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def _squeeze(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    x = _tensor(args[0])
    named = _given(args, 1, ())
    ones = tuple(axis for axis, size in enumerate(x.shape) if size == 1)
    axes = _axes(named, len(x.shape)) if named not in ((), None) else ones
    if any(isinstance(x.shape[axis], int) and x.shape[axis] != 1 for axis in axes):
        raise ValueError(f"axes {axes} of the shape {x.shape} are not of size 1")
    return graph.reshape(x, tuple(size for axis, size in enumerate(x.shape) if axis not in axes))


def _transpose(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    x = _tensor(args[0])
    return graph.add("Transpose", x, perm=tuple(_axis(axis, len(x.shape)) for axis in _ints(args[1])))


def _concat(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    parts = _tensors(graph, args[0])
    return graph.add("Concat", *parts, axis=_axis(args[1], len(parts[0].shape)))


def _stack(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    parts = _tensors(graph, args[0])
    axis = _axis(_given(args, 1, attributes.get("axis", 0)), len(parts[0].shape) + 1)
    thick = [graph.reshape(part, (*part.shape[:axis], 1, *part.shape[axis:])) for part in parts]
    return graph.add("Concat", *thick, axis=axis)


def _split(graph: Graph, args: list[Argument], attributes: Attributes) -> tuple[Value, ...]:
    x = _tensor(args[0])
    return tuple(graph.add_all("Split", x, axis=_axis(args[1], len(x.shape)), num_outputs=_int(args[2])))


def _strided_slice(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    x, begin, end, steps = _tensor(args[0]), _sizes(args[1]), _sizes(args[2]), _ints(args[3])
    begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_mask = (
        _int(_given(args, place, 0)) for place in range(4, 9)
    )
    if ellipsis_mask or new_axis_mask or not len(begin) == len(end) == len(steps) <= len(x.shape):
        raise ValueError("a slice with an ellipsis or a new axis")
    parts, dropped = [], set()
    for axis, size in enumerate(x.shape[: len(begin)]):
        if shrink_mask >> axis & 1:
            start = _bound(begin[axis], size)
            parts.append((axis, start, sizes.add(start, 1), 1))
            dropped.add(axis)
            continue
        start = 0 if begin_mask >> axis & 1 else _bound(begin[axis], size)
        stop = size if end_mask >> axis & 1 else _bound(end[axis], size)
        if steps[axis] < 1:
            raise ValueError(f"a step of {steps[axis]}")
        if (start, stop, steps[axis]) != (0, size, 1):
            parts.append((axis, start, stop, steps[axis]))
    sliced = graph.add("Slice", x, parts=tuple(parts))
    return graph.reshape(sliced, tuple(size for axis, size in enumerate(sliced.shape) if axis not in dropped))


def _bound(bound: Size, size: Size) -> Size:
    """Return a bound of a slice as a position from 0 to size."""
    if isinstance(bound, int) and bound < 0:
        return sizes.maximum(sizes.add(size, bound), 0)
    return sizes.minimum(bound, size)


def _reverse(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    x = _tensor(args[0])
    axes = _axes(_given(args, 1, attributes.get("axis")), len(x.shape))
    return graph.add("Slice", x, parts=tuple((axis, 0, x.shape[axis], -1) for axis in axes))


def _broadcast_to(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    x, shape = _tensor(args[0]), _sizes(args[1] if len(args) > 1 else attributes["shape"])
    missing = len(shape) - len(x.shape)
    return graph.add(
        "Expand", x, shape=tuple(x.shape[axis - missing] if size == -1 else size for axis, size in enumerate(shape))
    )


def _tile(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    """Repeat a tensor along its axes: each axis gets an additional one before it, which is expanded."""
    x, repeats = _tensor(args[0]), _sizes(args[1])
    shape = (1,) * (len(repeats) - len(x.shape)) + x.shape
    repeats = (1,) * (len(shape) - len(repeats)) + repeats
    pairs = list(zip(repeats, shape, strict=True))
    thin = graph.reshape(x, tuple(entry for _, size in pairs for entry in (1, size)))
    wide = graph.add("Expand", thin, shape=tuple(entry for pair in pairs for entry in pair))
    return graph.reshape(wide, tuple(sizes.mul(*pair) for pair in pairs))


def _gather(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    if _given(args, 3, 0) != 0:
        raise ValueError("a choice of other elements in each of a batch")
    x = _tensor(args[0])
    return graph.add("Gather", x, _as_tensor(graph, args[1], INT64), axis=_axis(args[2], len(x.shape)))


def _flatten(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    x = _tensor(args[0])
    return graph.reshape(x, (x.shape[0], sizes.product(x.shape[1:])))


def _like(number: float) -> Operator:
    def convert(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
        x = _tensor(args[0])
        return graph.add("Fill", shape=x.shape, value=number, dtype=x.dtype)

    return convert


def _filled(number: float) -> Operator:
    def convert(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
        return graph.add("Fill", shape=_sizes(args[0]), value=number, dtype=_dtype(_given(args, 1)))

    return convert


def _fill(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    number = _tensors(graph, args[1:2])[0]
    return graph.add("Fill", shape=_sizes(args[0]), value=_number(number), dtype=number.dtype)


def _range(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    start, stop, step = (_sizes(value)[0] for value in args[:3])
    if not isinstance(step, int) or step < 1:
        raise ValueError(f"a step of {step!r}")
    x = graph.add("Range", size=sizes.maximum(sizes.ceildiv(sizes.sub(stop, start), step), 0))
    scaled = graph.add("Mul", x, _as_tensor(graph, step, INT64)) if step != 1 else x
    return graph.add("Add", scaled, _as_tensor(graph, start, INT64)) if start != 0 else scaled


def _tensor_of_size(graph: Graph, args: list[Argument], attributes: Attributes) -> Argument:
    """Return a number as a tensor; a size stays one, because a tensor of it may become a number again."""
    dtype = _dtype(args[1])
    return args[0] if dtype == INT64 else _as_tensor(graph, args[0], dtype)


# --- sums, products, layers ---


def _reduce(op: str) -> Operator:
    def convert(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
        x = _tensor(args[0])
        axes = _axes(_given(args, 1), len(x.shape))
        return graph.add(op, x, axes=axes, keepdims=int(_flag(_given(args, 2, attributes.get("keep_dims", False)))))

    return convert


def _max_with_position(graph: Graph, args: list[Argument], attributes: Attributes) -> tuple[Argument, ...]:
    return None, _reduce("ReduceMax")(graph, args, attributes)


def _softmax(op: str) -> Operator:
    def convert(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
        x = _tensor(args[0])
        return graph.add(op, x, axis=_axis(args[1], len(x.shape)))

    return convert


def _matmul(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    left, right = _tensors(graph, args[:2])
    if _flag(_given(args, 2, False)):
        left = _swap_last_axes(graph, left)
    if _flag(_given(args, 3, False)):
        right = _swap_last_axes(graph, right)
    return graph.add("MatMul", left, right)


def _swap_last_axes(graph: Graph, x: Value) -> Value:
    rank = len(x.shape)
    return graph.add("Transpose", x, perm=(*range(rank - 2), rank - 1, rank - 2))


def _bias_add(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    _nchw(_given(args, 2))
    x, bias = _tensor(args[0]), _tensor(args[1])
    if len(x.shape) < 2 or bias.shape != (x.shape[1],):
        raise ValueError(f"a bias of {bias.shape} for {x.shape}")
    return graph.add("Add", x, graph.reshape(bias, (1, x.shape[1], *[1] * (len(x.shape) - 2))))


def _batch_norm(graph: Graph, args: list[Argument], attributes: Attributes) -> tuple[Argument, ...]:
    _nchw(_given(args, 8))
    if _flag(args[5]):
        raise ValueError("a batch norm in training")
    x, gamma, beta, mean, variance = map(_tensor, args[:5])
    normed = graph.add("BatchNormalization", x, gamma, beta, mean, variance, epsilon=_number(args[6]))
    return normed, None, None, None, None


def _layer_norm(graph: Graph, args: list[Argument], attributes: Attributes) -> tuple[Argument, ...]:
    x, gamma, beta = map(_tensor, args[:3])
    axis = _axis(args[3], len(x.shape))
    if _axis(args[4], len(x.shape)) != axis:
        raise ValueError("scales of other axes than the normalised ones")
    return graph.add("LayerNormalization", x, gamma, beta, axis=axis, epsilon=_number(args[5])), None, None


def _conv2d(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    _nchw(attributes.get("format"))
    x, weight = map(_tensor, args[:2])
    window = {"strides": _pair(attributes["stride"]), "dilations": _pair(attributes["dilation"])}
    return graph.add("Conv", x, weight, group=_int(attributes.get("group", 1)), **window, **_padding(attributes))


def _pool(op: str) -> Operator:
    def convert(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
        names = ("kernel_size", "strides", "pad_mode", "format" if op == "MaxPool" else "data_format")
        named = dict(zip(names, args[1:], strict=False)) or attributes  # newer operators have arguments
        _nchw(named.get("format", named.get("data_format")))
        window = {"kernel_shape": _pair(named["kernel_size"]), "strides": _pair(named["strides"])}
        padding = {key: value for key, value in _padding(named).items() if value != (0, 0, 0, 0)}
        return graph.add(op, _tensor(args[0]), **window, **padding)

    return convert


def _pair(value: Argument) -> tuple[int, int]:
    """Return a window's option for its two axes; MindSpore may give four."""
    entries = _ints(value)
    return (entries[0], entries[0]) if len(entries) == 1 else (entries[-2], entries[-1])


def _padding(attributes: Attributes) -> Attributes:
    mode = attributes["pad_mode"]
    if isinstance(mode, int):
        mode = {0: "pad", 1: "same", 2: "valid"}.get(mode)
    mode = mode.lower() if isinstance(mode, str) else mode
    if mode == "same":
        return {"auto_pad": "SAME_UPPER"}
    if mode == "valid":
        return {"pads": (0, 0, 0, 0)}
    if mode != "pad":
        raise ValueError(f"the padding {mode!r}")
    pads = _ints(attributes["pad"])
    top, bottom, left, right = pads * 4 if len(pads) == 1 else pads
    return {"pads": (top, left, bottom, right)}


def _im2col(graph: Graph, args: list[Argument], attributes: Attributes) -> Value:
    """Gather the content of windows by a convolution with the identity. The result is (B, C, window, positions)."""
    x = _tensor(args[0])
    kernel, strides = _pair(attributes["ksizes"]), _pair(attributes["strides"])
    pads = _ints(attributes.get("pads", 0))
    if len(x.shape) != 4 or x.shape[1] != 1 or any(pads):
        raise ValueError("windows over several channels, or with padding")
    count = kernel[0] * kernel[1]
    identity = graph.constant(np.eye(count, dtype=np.float32).reshape(count, 1, *kernel))
    window = {"strides": strides, "dilations": _pair(attributes["dilations"]), "pads": (0, 0, 0, 0)}
    seen = graph.add("Conv", x, identity, group=1, **window)
    return graph.reshape(seen, (x.shape[0], 1, count, sizes.product(seen.shape[2:])))


def _lstm(graph: Graph, args: list[Argument], attributes: Attributes) -> tuple[Argument, ...]:
    """A recurrent layer in one direction; MindSpore stores its weights and biases consecutively in one tensor."""
    x, hidden_state, cell_state, packed = map(_tensor, args[:4])
    if attributes.get("num_layers", 1) != 1 or attributes.get("bidirectional", False) or packed.array is None:
        raise ValueError("several layers, directions, or computed weights")
    inputs, hidden = _int(attributes["input_size"]), _int(attributes["hidden_size"])
    rows = 4 * hidden
    flat = packed.array.reshape(-1)
    weight, recurrent, bias = np.split(flat, [rows * inputs, rows * (inputs + hidden)])
    if bias.size not in (0, rows, 2 * rows):
        raise ValueError(f"{flat.size} weights of {inputs} inputs and {hidden} states")
    biases = np.concatenate((bias, np.zeros(2 * rows - bias.size, np.float32))).reshape(2, 4, hidden)
    order = [0, 3, 1, 2]  # MindSpore: input, forget, cell, output; ONNX: input, output, forget, cell
    arrays = (
        weight.reshape(4, hidden, inputs)[order].reshape(1, rows, inputs),
        recurrent.reshape(4, hidden, hidden)[order].reshape(1, rows, hidden),
        biases[:, order].reshape(1, 2 * rows),
    )
    constants = [graph.constant(array, packed.name) for array in arrays]
    states = graph.add_all("LSTM", x, *constants, None, hidden_state, cell_state, hidden_size=hidden)
    sequence = graph.reshape(states[0], (x.shape[0], x.shape[1], hidden))
    return sequence, states[1], states[2], None, None


OPERATORS: dict[str, Operator] = {
    "Abs": _elementwise("Abs", 1),
    "Add": _elementwise("Add", 2),
    "ArgMaxWithValue": _max_with_position,
    "AvgPool": _pool("AveragePool"),
    "BatchMatMul": _matmul,
    "BatchNorm": _batch_norm,
    "BiasAdd": _bias_add,
    "BroadcastTo": _broadcast_to,
    "Cast": _cast,
    "ClampScalar": _clamp,
    "Concat": _concat,
    "Conv2D": _conv2d,
    "Depend": _first,
    "Div": _elementwise("Div", 2),
    "Divs": _elementwise("Div", 2),
    "Equal": _elementwise("Equal", 2),
    "Erf": _elementwise("Erf", 1),
    "Exp": _elementwise("Exp", 1),
    "ExpandDims": _expand_dims,
    "FillV2": _fill,
    "Flatten": _flatten,
    "Gather": _gather,
    "Greater": _elementwise("Greater", 2),
    "GreaterEqual": _elementwise("GreaterOrEqual", 2),
    "Im2Col": _im2col,
    "LSTM": _lstm,
    "LayerNorm": _layer_norm,
    "Less": _elementwise("Less", 2),
    "LessEqual": _elementwise("LessOrEqual", 2),
    "Load": _first,
    "Log": _elementwise("Log", 1),
    "LogSoftmax": _softmax("LogSoftmax"),
    "LogicalAnd": _elementwise("And", 2),
    "LogicalNot": _elementwise("Not", 1),
    "LogicalOr": _elementwise("Or", 2),
    "MakeTuple": lambda graph, args, attributes: tuple(args),
    "MaskedFill": _masked_fill,
    "MatMul": _matmul,
    "MatMulExt": _matmul,
    "MaxPool": _pool("MaxPool"),
    "Maximum": _elementwise("Max", 2),
    "Minimum": _elementwise("Min", 2),
    "Mul": _elementwise("Mul", 2),
    "Muls": _elementwise("Mul", 2),
    "Neg": _elementwise("Neg", 1),
    "NotEqual": _not_equal,
    "Ones": _filled(1),
    "OnesLike": _like(1),
    "Pow": _elementwise("Pow", 2),
    "Range": _range,
    "ReLU": _elementwise("Relu", 1),
    "ReLU6": _relu6,
    "Reciprocal": _elementwise("Reciprocal", 1),
    "ReduceMax": _reduce("ReduceMax"),
    "ReduceMean": _reduce("ReduceMean"),
    "ReduceMin": _reduce("ReduceMin"),
    "ReduceSum": _reduce("ReduceSum"),
    "Reshape": _reshape,
    "ReverseV2": _reverse,
    "Rsqrt": _rsqrt,
    "ScalarAdd": _size_operator(sizes.add),
    "ScalarFloorDiv": _size_operator(sizes.floordiv),
    "ScalarMod": _size_operator(sizes.mod),
    "ScalarMul": _size_operator(sizes.mul),
    "ScalarSub": _size_operator(sizes.sub),
    "ScalarUsub": _negated_size,
    "ScalarToTensor": _tensor_of_size,
    "Select": _select,
    "Shape": _shape,
    "SiLU": _silu,
    "Sigmoid": _elementwise("Sigmoid", 1),
    "Sin": _elementwise("Sin", 1),
    "Softmax": _softmax("Softmax"),
    "Split": _split,
    "Sqrt": _elementwise("Sqrt", 1),
    "Square": _square,
    "Squeeze": _squeeze,
    "Stack": _stack,
    "StridedSlice": _strided_slice,
    "Sub": _elementwise("Sub", 2),
    "SumExt": _reduce("ReduceSum"),
    "TensorToScalar": _first,
    "Tile": _tile,
    "Transpose": _transpose,
    "TupleGetItem": _get_item,
    "UpdateState": _nothing,
    "Zeros": _filled(0),
    "ZerosLike": _like(0),
}
"""The ONNX form of each operator of MindSpore 2.10: a function of the graph, its arguments and its attributes."""
