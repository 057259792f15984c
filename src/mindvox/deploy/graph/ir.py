"""Tensors and operations, named and defined as in ONNX; shapes are known while the graph is built.

Inputs that ONNX only has because they may be computed (a shape, the bounds of a slice, axes) are attributes here.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np

from mindvox.deploy.graph.shapes import SHAPES
from mindvox.deploy.graph.sizes import Shape, Size

FOLDED_GROWTH = 2**16
"""Number of elements by which a folded result may exceed its inputs, so that repeated constants stay small."""


@dataclass(eq=False)
class Value:
    """A tensor: a constant, an input of the graph, or a result of a node.

    Attributes:
        shape: sizes of its axes.
        dtype: type of its elements.
        node: the operation that computes it, if any.
        array: its elements, if it is a constant.
        name: name of an input or a parameter; otherwise empty.
        uses: upper bound of its uses in the graph from which this one was made.
    """

    shape: Shape
    dtype: np.dtype
    node: Optional["Node"] = None
    array: Optional[np.ndarray] = None
    name: str = ""
    uses: int = 0


@dataclass(eq=False)
class Node:
    """An operation.

    Attributes:
        op: its name in ONNX, or one that ir.py adds: "Size" (a size as a tensor), "Fill" (a constant of a given shape).
        inputs: tensors; None for an omitted one.
        attributes: values known when the graph is built; hashable.
        scope: its layer, such as "blocks.0.tdnn1".
        outputs: its results.
    """

    op: str
    inputs: tuple[Optional[Value], ...]
    attributes: dict[str, Any]
    scope: str
    outputs: list[Value] = field(default_factory=list)


class Graph:
    """Nodes in the order of computation.

    Attributes:
        inputs: the input tensors.
        outputs: the output tensors by name.
        nodes: all nodes, including unused ones.
        scope: scope of new nodes.
    """

    def __init__(self, inputs: Iterable[Value]) -> None:
        self.inputs = list(inputs)
        self.outputs: dict[str, Value] = {}
        self.nodes: list[Node] = []
        self.scope = ""
        self._known: dict[Any, list[Value]] = {}

    def constant(self, array: np.ndarray, name: str = "") -> Value:
        """Return a constant."""
        array = np.asarray(array)
        return Value(array.shape, array.dtype, array=array, name=name)

    def add(self, op: str, *inputs: Optional[Value], **attributes: Any) -> Value:
        """Add an operation with one result, or fold it if all its inputs are constants."""
        (output,) = self.add_all(op, *inputs, **attributes)
        return output

    def add_all(self, op: str, *inputs: Optional[Value], **attributes: Any) -> list[Value]:
        """Add an operation and return its results; an operation that is already in the graph is reused.

        Raises:
            ValueError: shapes or attributes do not fit the operation.
        """
        results = SHAPES[op](inputs, attributes)
        folded = _fold(op, inputs, attributes, [shape for shape, _ in results])
        if folded is not None:
            name = next((value.name for value in inputs if value is not None and value.name), "")
            return [self.constant(array, name) for array in folded]
        key = (op, tuple(map(id, inputs)), tuple(sorted(attributes.items())))
        if key not in self._known:
            node = Node(op, inputs, attributes, self.scope)
            node.outputs = [Value(shape, dtype, node) for shape, dtype in results]
            self.nodes.append(node)
            self._known[key] = node.outputs
        return self._known[key]

    def reshape(self, value: Value, shape: Shape) -> Value:
        """Reshape a tensor; a chain of reshapes becomes one."""
        if value.node is not None and value.node.op == "Reshape":
            (source,) = value.node.inputs
            assert source is not None
            return self.reshape(source, shape)
        return value if value.shape == shape else self.add("Reshape", value, shape=shape)

    def live_nodes(self) -> list[Node]:
        """Return the nodes that the outputs need."""
        needed = {id(value) for value in self.outputs.values()}
        live = []
        for node in reversed(self.nodes):
            if any(id(output) in needed for output in node.outputs):
                live.append(node)
                needed.update(id(value) for value in node.inputs)
        return live[::-1]

    def count_uses(self) -> Counter[int]:
        """Return the number of live nodes and outputs that use each tensor, by `id`."""
        uses = Counter(id(value) for value in self.outputs.values())
        uses.update(id(value) for node in self.live_nodes() for value in node.inputs)
        return uses


def _fold(
    op: str, inputs: Sequence[Optional[Value]], attributes: dict[str, Any], shapes: list[Shape]
) -> Optional[list[np.ndarray]]:
    """Compute an operation of constants, unless its result would be much larger than they are."""
    compute = FOLDED.get(op)
    arrays = [value.array for value in inputs if value is not None and value.array is not None]
    if compute is None or len(arrays) < len(inputs):
        return None
    size = 0
    for shape in shapes:
        if not all(isinstance(entry, int) for entry in shape):
            return None
        size += int(np.prod([float(entry) for entry in shape]))  # type: ignore[arg-type]
    if size > sum(array.size for array in arrays) + FOLDED_GROWTH:
        return None
    computed = compute(attributes, *arrays)
    return [np.asarray(array) for array in (computed if isinstance(computed, list) else [computed])]


def _slice(attributes: dict[str, Any], x: np.ndarray) -> np.ndarray:
    bounds: list[Any] = [slice(None)] * x.ndim
    for axis, start, stop, step in attributes["parts"]:
        bounds[axis] = slice(start, stop, step) if step > 0 else slice(None, None, step)
    return x[tuple(bounds)]


def _split(attributes: dict[str, Any], x: np.ndarray) -> list[np.ndarray]:
    return np.split(x, attributes["num_outputs"], axis=attributes["axis"])


def _number(attributes: dict[str, Any]) -> np.ndarray:
    return np.full(attributes["shape"], attributes["value"], attributes["dtype"])


FOLDED: dict[str, Callable[..., Any]] = {
    "Abs": lambda _, x: np.abs(x),
    "Add": lambda _, left, right: left + right,
    "Cast": lambda attributes, x: x.astype(attributes["dtype"]),
    "Concat": lambda attributes, *parts: np.concatenate(parts, axis=attributes["axis"]),
    "Div": lambda _, left, right: left / right,
    "Expand": lambda attributes, x: np.broadcast_to(x, attributes["shape"]),
    "Fill": _number,
    "Max": lambda _, left, right: np.maximum(left, right),
    "Min": lambda _, left, right: np.minimum(left, right),
    "Mul": lambda _, left, right: left * right,
    "Neg": lambda _, x: -x,
    "Reshape": lambda attributes, x: x.reshape(attributes["shape"]),
    "Sin": lambda _, x: np.sin(x),
    "Slice": _slice,
    "Split": _split,
    "Sqrt": lambda _, x: np.sqrt(x),
    "Sub": lambda _, left, right: left - right,
    "Transpose": lambda attributes, x: x.transpose(attributes["perm"]),
}
"""Operations that are folded if their inputs are constants."""


def integers(sizes: Sequence[Size]) -> tuple[int, ...]:
    """Return sizes that must be known.

    Raises:
        ValueError: a size is known only when the model runs.
    """
    if not all(isinstance(size, int) for size in sizes):
        raise ValueError("a size that has to be a constant is free")
    return tuple(int(size) for size in sizes)  # type: ignore[arg-type]
