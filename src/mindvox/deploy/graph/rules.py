"""Simplification: replace what a runtime computes slowly, or does not recognise, by its own fast operations.

The layers of this project are written for MindSpore: convolutions over time act on (1, T), mirrored edges are
concatenated slices, tanh goes through sigmoid. A rule looks at one operation and the operations of its inputs, and
returns another value that is equal up to rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional, Union

import numpy as np

from mindvox.deploy.graph import sizes
from mindvox.deploy.graph.ir import Graph, Node, Value
from mindvox.deploy.graph.shapes import BINARY, COMPARISONS, REDUCTIONS, UNARY
from mindvox.deploy.graph.sizes import Shape

MAX_SWEEPS = 20
SMALLEST_PART = 256
"""Number of channels from which a 1x1 convolution of concatenated parts becomes a sum over the parts.

The concatenated tensor is then not built, and OpenVINO (2026.4) multiplies several times faster: its product of 3072 by
3072 channels runs at a quarter of its rate on AVX2, three of 1024 do not.
"""

Inputs = Sequence[Optional[Value]]
Attributes = dict[str, Any]
Rule = Callable[[Graph, str, Inputs, Attributes], Optional[Union[Value, list[Value]]]]


def simplify(graph: Graph) -> Graph:
    """Return an equal graph to which no rule applies."""
    for rules in (RULES, LAST_RULES):
        for _ in range(MAX_SWEEPS):
            graph, changed = _sweep(graph, rules)
            if not changed:
                break
    return graph


def _sweep(graph: Graph, rules: Sequence[Rule]) -> tuple[Graph, bool]:
    """Rebuild a graph; each node is replaced by the result of the first rule that applies."""
    uses = graph.count_uses()
    result = Graph(graph.inputs)
    values: dict[int, Value] = {id(value): value for value in graph.inputs}
    changed = False
    for node in graph.live_nodes():
        result.scope = node.scope
        inputs = [None if value is None else values.get(id(value), value) for value in node.inputs]
        for rule in rules:
            replaced = rule(result, node.op, inputs, node.attributes)
            if replaced is not None:
                changed = True
                break
        else:
            replaced = result.add_all(node.op, *inputs, **node.attributes)
        outputs = replaced if isinstance(replaced, list) else [replaced]
        for old, new in zip(node.outputs, outputs, strict=True):
            values[id(old)] = new
            new.uses += uses[id(old)]
    result.outputs = {name: values.get(id(value), value) for name, value in graph.outputs.items()}
    return result, changed


def drop_nothing(graph: Graph, op: str, inputs: Inputs, attributes: Attributes) -> Optional[Value]:
    """Remove an operation that returns its input."""
    x = inputs[0] if inputs else None
    if x is None:
        return None
    nothing = {
        "Cast": lambda: attributes["dtype"] == x.dtype,
        "Concat": lambda: len(inputs) == 1,
        "Expand": lambda: x.shape == tuple(attributes["shape"]),
        "Pad": lambda: not any(attributes["pads"]),
        "Slice": lambda: all(
            (start, stop, step) == (0, x.shape[axis], 1) for axis, start, stop, step in attributes["parts"]
        ),
        "Transpose": lambda: attributes["perm"] == tuple(range(len(x.shape))),
    }.get(op)
    return x if nothing is not None and nothing() else None


def join_reshapes(graph: Graph, op: str, inputs: Inputs, attributes: Attributes) -> Optional[Value]:
    """Merge several reshapes into one, or none if the shape is the first one again."""
    if op != "Reshape":
        return None
    (x,) = inputs
    assert x is not None
    if x.shape != attributes["shape"] and (x.node is None or x.node.op != "Reshape"):
        return None
    return graph.reshape(x, attributes["shape"])


def join_transposes(graph: Graph, op: str, inputs: Inputs, attributes: Attributes) -> Optional[Value]:
    """Merge two transpositions."""
    inner = _producer(inputs, op, "Transpose", "Transpose")
    if inner is None:
        return None
    perm = tuple(inner.attributes["perm"][axis] for axis in attributes["perm"])
    return graph.add("Transpose", inner.inputs[0], perm=perm)


def drop_axis(graph: Graph, op: str, inputs: Inputs, attributes: Attributes) -> Optional[list[Value]]:
    """Compute without an inserted axis of size 1: a convolution over (1, T) becomes one over T.

    The axis is inserted again after the operation, where it meets the next one or its removal.
    """
    adjust = AXIS_FREE.get(op)
    values = [value for value in inputs if value is not None]
    rank = max((len(value.shape) for value in values), default=0)
    for axis in range(rank) if adjust is not None and rank > 2 else ():
        assert adjust is not None
        adjusted = adjust(attributes, axis, rank)
        smaller = [_without_axis(graph, value, axis, rank, op) for value in values]
        if adjusted is None or any(value is None for value in smaller):
            continue
        if not any(_inserts_axis(value, axis) for value in values):
            continue
        kept = iter(smaller)
        outputs = graph.add_all(op, *(None if value is None else next(kept) for value in inputs), **adjusted)
        return [graph.reshape(output, (*output.shape[:axis], 1, *output.shape[axis:])) for output in outputs]
    return None


def _inserts_axis(value: Value, axis: int) -> bool:
    """Return whether a tensor is another one with this additional axis of size 1."""
    node = value.node
    if node is None or node.op != "Reshape":
        return False
    (source,) = node.inputs
    assert source is not None
    if axis >= len(value.shape) or value.shape[axis] != 1:
        return False
    rest = (*value.shape[:axis], *value.shape[axis + 1 :])
    return rest == source.shape or sizes.inserted_axes(rest, source.shape) is not None


def _without_axis(graph: Graph, value: Value, axis: int, rank: int, op: str) -> Optional[Value]:
    """Return a tensor without an axis of size 1, counted in the largest rank; None: that would have a cost."""
    if op in ("Conv", "BatchNormalization") and value.array is not None:
        if len(value.shape) < rank:
            return value  # one number per channel
    else:
        axis -= rank - len(value.shape)  # broadcasting aligns the last axes
        if axis < 0:
            return value if op in ELEMENTWISE else None
    if value.shape[axis] != 1 or not (value.array is not None or _inserts_axis(value, axis)):
        return None
    return graph.reshape(value, (*value.shape[:axis], *value.shape[axis + 1 :]))


def _unchanged(attributes: Attributes, axis: int, rank: int) -> Optional[Attributes]:
    return attributes


def _behind_channels(attributes: Attributes, axis: int, rank: int) -> Optional[Attributes]:
    return attributes if axis >= 2 else None


def _shifted_axis(attributes: Attributes, axis: int, rank: int) -> Optional[Attributes]:
    if attributes["axis"] == axis:
        return None
    return {**attributes, "axis": attributes["axis"] - (attributes["axis"] > axis)}


def _shifted_axes(attributes: Attributes, axis: int, rank: int) -> Optional[Attributes]:
    if axis in attributes["axes"] or not attributes["keepdims"]:
        return None
    return {**attributes, "axes": tuple(other - (other > axis) for other in attributes["axes"])}


def _shifted_parts(attributes: Attributes, axis: int, rank: int) -> Optional[Attributes]:
    if any(part[0] == axis for part in attributes["parts"]):
        return None
    return {"parts": tuple((other - (other > axis), *bounds) for other, *bounds in attributes["parts"])}


def _without_pads(attributes: Attributes, axis: int, rank: int) -> Optional[Attributes]:
    pads = attributes["pads"]
    if pads[axis] or pads[rank + axis]:
        return None
    return {**attributes, "pads": _without(pads, axis, rank + axis)}


def _without_window(attributes: Attributes, axis: int, rank: int) -> Optional[Attributes]:
    """Remove an axis over which a convolution has only one position; its kernel is checked with the weight."""
    spatial, count = axis - 2, rank - 2
    if spatial < 0 or count < 2:
        return None
    result = {**attributes}
    for name in ("strides", "dilations"):
        result[name] = _without(attributes[name], spatial)
    if "pads" in attributes:
        pads = attributes["pads"]
        if pads[spatial] or pads[count + spatial]:
            return None
        result["pads"] = _without(pads, spatial, count + spatial)
    return result


def _without(values: Sequence[int], *positions: int) -> tuple[int, ...]:
    return tuple(value for position, value in enumerate(values) if position not in positions)


ELEMENTWISE = {*UNARY, *BINARY, *COMPARISONS, "Where"}
AXIS_FREE: dict[str, Callable[[Attributes, int, int], Optional[Attributes]]] = {
    **dict.fromkeys(ELEMENTWISE | {"Cast"}, _unchanged),
    **dict.fromkeys(("Concat", "LogSoftmax", "Softmax", "Split"), _shifted_axis),
    **dict.fromkeys(REDUCTIONS, _shifted_axes),
    "BatchNormalization": _behind_channels,
    "Conv": _without_window,
    "Pad": _without_pads,
    "Slice": _shifted_parts,
}
"""Operations with an equal form without an axis of size 1: their new attributes, or None if they need the axis."""


def multiply_as_it_is(graph: Graph, op: str, inputs: Inputs, attributes: Attributes) -> Optional[Value]:
    """Multiply the last axis of a tensor by a matrix without first flattening the other axes."""
    rows = _producer(inputs, op, "MatMul", "Reshape")
    if rows is None:
        return None
    (x,), matrix, (product, *_) = rows.inputs, inputs[1], rows.outputs
    assert x is not None and matrix is not None
    if len(matrix.shape) != 2 or len(x.shape) < 2 or x.shape[-1] != product.shape[-1]:
        return None
    return graph.reshape(graph.add("MatMul", x, matrix), (*product.shape[:-1], matrix.shape[1]))


def pad_by_edges(graph: Graph, op: str, inputs: Inputs, attributes: Attributes) -> Optional[Value]:
    """Recognise padding: a tensor concatenated with mirrored slices of its own edges, or with zeros."""
    if op != "Concat" or len(inputs) < 3:
        return None
    axis = attributes["axis"]
    for position, x in enumerate(inputs):
        assert x is not None
        left, right = inputs[:position], inputs[position + 1 :]
        if _are_mirrored(x, axis, [*left][::-1], at_end=False) and _are_mirrored(x, axis, right, at_end=True):
            return _padded(graph, x, axis, len(left), len(right), "reflect")
    first, x, last = inputs[0], inputs[1], inputs[-1]
    assert first is not None and x is not None and last is not None
    if len(inputs) == 3 and _is_zero(first) and _is_zero(last):
        before, after = first.shape[axis], last.shape[axis]
        if isinstance(before, int) and isinstance(after, int) and not _is_zero(x):
            return _padded(graph, x, axis, before, after, "constant")
    return None


def _are_mirrored(x: Value, axis: int, slices: Sequence[Optional[Value]], at_end: bool) -> bool:
    """Return whether these are the frames next to an edge of x, starting at the edge."""
    last = sizes.sub(x.shape[axis], 1)
    for distance, value in enumerate(slices, 1):
        node = value.node if value is not None else None
        if node is None or node.op != "Slice" or node.inputs[0] is not x:
            return False
        frame = sizes.sub(last, distance) if at_end else distance
        if node.attributes["parts"] != ((axis, frame, sizes.add(frame, 1), 1),):
            return False
    return bool(slices)


def _is_zero(value: Value) -> bool:
    if value.array is not None:
        return not value.array.any()
    return value.node is not None and value.node.op == "Fill" and value.node.attributes["value"] == 0


def _padded(graph: Graph, x: Value, axis: int, before: int, after: int, mode: str) -> Value:
    pads = [0] * 2 * len(x.shape)
    pads[axis], pads[len(x.shape) + axis] = before, after
    return graph.add("Pad", x, pads=tuple(pads), mode=mode)


def pad_in_convolution(graph: Graph, op: str, inputs: Inputs, attributes: Attributes) -> Optional[Value]:
    """Let a convolution do the zero padding itself."""
    pad = _producer(inputs, op, "Conv", "Pad")
    if pad is None or pad.attributes["mode"] != "constant" or "auto_pad" in attributes:
        return None
    pads, rank = pad.attributes["pads"], len(pad.attributes["pads"]) // 2
    if pads[0] or pads[1] or pads[rank] or pads[rank + 1]:
        return None
    added = (*pads[2:rank], *pads[rank + 2 :])
    own = attributes.get("pads", (0,) * len(added))
    total = tuple(map(sum, zip(added, own, strict=True)))
    return graph.add("Conv", pad.inputs[0], *inputs[1:], **{**attributes, "pads": total})


def take_bias(graph: Graph, op: str, inputs: Inputs, attributes: Attributes) -> Optional[Value]:
    """Fold a following sum with one number per channel into a convolution."""
    if op != "Add":
        return None
    for x, shift in (inputs, inputs[::-1]):
        assert x is not None and shift is not None
        conv = _own_convolution(x)
        if conv is None or not _is_per_channel(shift, x.shape):
            continue
        array = shift.array
        assert array is not None
        bias = np.broadcast_to(array.reshape(-1), (_channels(conv),))
        return _conv_with(graph, conv, _array(conv.inputs[1]), bias + _bias(conv), shift.name)
    return None


def fold_batch_norm(graph: Graph, op: str, inputs: Inputs, attributes: Attributes) -> Optional[Value]:
    """Fold a following batch norm into a convolution."""
    x = inputs[0] if op == "BatchNormalization" else None
    conv = _own_convolution(x) if x is not None else None
    if conv is None or any(value is None or value.array is None for value in inputs[1:]):
        return None
    scale, shift = scale_and_shift(inputs, attributes)
    weight = _array(conv.inputs[1]).astype(np.float64)
    weight *= scale.reshape(-1, *[1] * (weight.ndim - 1))
    name = inputs[1].name if inputs[1] is not None else ""
    return _conv_with(graph, conv, weight, _bias(conv) * scale + shift, name)


def scale_and_shift(inputs: Inputs, attributes: Attributes) -> tuple[np.ndarray, np.ndarray]:
    """Return the factor and the offset of a batch norm in evaluation for each channel, float64."""
    gamma, beta, mean, variance = (_array(value).astype(np.float64) for value in inputs[1:])
    scale = gamma / np.sqrt(variance + attributes["epsilon"])
    return scale, beta - scale * mean


def convolve_parts(graph: Graph, op: str, inputs: Inputs, attributes: Attributes) -> Optional[Value]:
    """Multiply each wide part of concatenated channels separately, and add; see SMALLEST_PART."""
    concat = _producer(inputs, op, "Conv", "Concat")
    if concat is None or concat.attributes["axis"] != 1 or attributes["group"] != 1:
        return None
    weight = inputs[1]
    assert weight is not None
    widths = [value.shape[1] for value in concat.inputs if value is not None]
    known = [width for width in widths if isinstance(width, int) and width >= SMALLEST_PART]
    is_product = all(size == 1 for size in weight.shape[2:])
    # It is not worth it without a length, as for statistics of an utterance.
    has_frames = any(size != 1 for size in concat.outputs[0].shape[2:])
    if weight.array is None or not is_product or not has_frames or len(known) < len(widths) or any(_pads(attributes)):
        return None
    total, first = None, 0
    for part, width in zip(concat.inputs, known, strict=True):
        columns = graph.constant(weight.array[:, first : first + width], weight.name)
        product = graph.add("Conv", part, columns, *([] if first else inputs[2:]), **attributes)
        total = product if total is None else graph.add("Add", total, product)
        first += width
    return total


def recognise_tanh(graph: Graph, op: str, inputs: Inputs, attributes: Attributes) -> Optional[Value]:
    """Write 2 sigmoid(2 x) - 1 as tanh(x); MindSpore's own tanh is too inexact for our layers."""
    if op not in ("Sub", "Add"):
        return None
    doubled, one = inputs
    assert doubled is not None and one is not None
    expected = 1 if op == "Sub" else -1
    if one.array is None or one.array.size != 1 or one.array.reshape(()) != expected:
        return None
    sigmoid = _doubled(doubled)
    if sigmoid is None or sigmoid.node is None or sigmoid.node.op != "Sigmoid":
        return None
    (argument,) = sigmoid.node.inputs
    x = _doubled(argument) if argument is not None else None
    return None if x is None else graph.add("Tanh", x)


def _doubled(value: Value) -> Optional[Value]:
    """Return x if the value is x + x."""
    node = value.node
    if node is None or node.op != "Add" or node.inputs[0] is not node.inputs[1]:
        return None
    return node.inputs[0]


RULES: tuple[Rule, ...] = (
    drop_nothing,
    join_reshapes,
    join_transposes,
    pad_by_edges,
    pad_in_convolution,
    take_bias,
    fold_batch_norm,
    drop_axis,
    multiply_as_it_is,
    recognise_tanh,
)
LAST_RULES: tuple[Rule, ...] = (convolve_parts,)
"""Rules for the result of the others, in which convolutions already have their bias."""


def _producer(inputs: Inputs, op: str, wanted: str, producer: str) -> Optional[Node]:
    """Return the node of an operation's first input, if both have the wanted types."""
    x = inputs[0] if op == wanted and inputs else None
    node = x.node if x is not None else None
    return node if node is not None and node.op == producer else None


def _own_convolution(value: Value) -> Optional[Node]:
    """Return the convolution by a constant weight that makes a value, unless the value has other uses."""
    node = value.node
    if node is None or node.op != "Conv" or value.uses > 1:
        return None
    return node if all(other is not None and other.array is not None for other in node.inputs[1:]) else None


def _is_per_channel(shift: Value, shape: Shape) -> bool:
    """Return whether a constant has one number, or one per channel (axis 1), in a tensor of this shape."""
    if shift.array is None or len(shift.shape) > len(shape):
        return False
    padded = (1,) * (len(shape) - len(shift.shape)) + tuple(shift.shape)
    return all(size == 1 for axis, size in enumerate(padded) if axis != 1)


def _conv_with(graph: Graph, conv: Node, weight: np.ndarray, bias: np.ndarray, name: str) -> Value:
    """Return a convolution with another weight and bias."""
    x, old = conv.inputs[:2]
    assert old is not None
    kept = old if weight is old.array else graph.constant(weight.astype(np.float32), old.name)
    return graph.add("Conv", x, kept, graph.constant(bias.astype(np.float32), name), **conv.attributes)


def _channels(conv: Node) -> int:
    return len(_array(conv.inputs[1]))


def _bias(conv: Node) -> np.ndarray:
    return _array(conv.inputs[2]) if len(conv.inputs) > 2 else np.zeros(_channels(conv))


def _pads(attributes: Attributes) -> Iterator[int]:
    yield from attributes.get("pads", ())


def _array(value: Optional[Value]) -> np.ndarray:
    """Return the elements of a constant."""
    assert value is not None and value.array is not None
    return value.array
