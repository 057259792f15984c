"""Write a graph as an ONNX model."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mindvox.deploy.graph import sizes
from mindvox.deploy.graph.ir import Graph, Node, Value
from mindvox.deploy.graph.sizes import Atom, Free, Shape, Size

OPSET = 17  # the last with axes of reductions as attributes; ONNX Runtime since 1.12, OpenVINO since 2023
IR_VERSION = 8
END = 2**31 - 1  # end of a slice that runs to the end; readers may store it in 32 bits

Tensors = Mapping[str, Sequence[Union[int, str]]]
"""Shapes of float32 tensors by name; a free size is a name."""


def to_onnx(graph: Graph, inputs: Tensors, outputs: Tensors, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Return a graph as a model that onnx's checker accepts.

    Args:
        graph: the graph with inputs and outputs of these names.
        inputs, outputs: declared shapes.
        metadata: metadata of the model.

    Raises:
        ValueError: the checker rejects the model.
    """
    writer = _Writer(graph)
    writer.write({name: graph.outputs[name] for name in outputs})
    model = helper.make_model(
        helper.make_graph(
            writer.nodes,
            "model",
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            [numpy_helper.from_array(array, name) for name, array in writer.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="mindvox",
    )
    helper.set_model_props(model, dict(metadata))
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(f"no valid ONNX graph: {str(error).splitlines()[0]}") from None
    return model


class _Writer:
    """Nodes and constants of ONNX, with names that depend only on the graph.

    Attributes:
        nodes: in the order of computation.
        constants: by name; equal constants are shared.
    """

    def __init__(self, graph: Graph) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self._graph = graph
        self._names: dict[int, str] = {}
        self._taken: set[str] = set()
        self._by_content: dict[Any, str] = {}
        self._sizes: dict[Union[Size, Atom], str] = {}
        self._scope = ""

    def write(self, outputs: Mapping[str, Value]) -> None:
        """Write the nodes that the outputs need."""
        for value in self._graph.inputs:
            self._names[id(value)] = self._fresh(value.name)
        wanted = {id(value): name for name, value in outputs.items()}
        self._taken.update(outputs)
        for node in self._graph.live_nodes():
            self._scope = node.scope
            op, inputs, attributes = self._operation(node)
            names = [wanted.get(id(output)) or self._fresh(self._scoped(op)) for output in node.outputs]
            self.nodes.append(helper.make_node(op, inputs, names, names[0], **attributes))
            self._names.update(zip(map(id, node.outputs), names, strict=True))
        for name, value in outputs.items():  # an input, a constant, or a value that already has another name
            if self._names.get(id(value)) != name:
                self.nodes.append(helper.make_node("Identity", [self._name(value)], [name], name))

    def _operation(self, node: Node) -> tuple[str, list[str], dict[str, Any]]:
        """Return a node's operation, inputs and attributes in ONNX."""
        inputs = ["" if value is None else self._name(value) for value in node.inputs]
        while inputs and not inputs[-1]:
            inputs.pop()
        op, attributes = node.op, dict(node.attributes)
        if op == "Conv":
            attributes["kernel_shape"] = _of(node, 1).shape[2:]
        elif op == "ReduceSum":
            inputs.append(self._vector(attributes.pop("axes")))
        elif op == "Split":
            del attributes["num_outputs"]
        elif op == "Cast":
            attributes = {"to": helper.np_dtype_to_tensor_dtype(attributes["dtype"])}
        elif op == "Pad":
            inputs.append(self._vector(attributes.pop("pads")))
        elif op == "Expand":
            inputs.append(self._vector(attributes.pop("shape")))
        elif op == "Fill":
            op, inputs = "ConstantOfShape", [self._vector(attributes["shape"])]
            attributes = {"value": numpy_helper.from_array(np.full(1, attributes["value"], attributes["dtype"]))}
        elif op == "Size":
            op, inputs = "Squeeze", [self._vector([attributes.pop("size")])]
        elif op == "Range":
            size = self._emit("Squeeze", self._vector([attributes.pop("size")]))
            inputs = [self._scalar(0), size, self._scalar(1)]
        elif op == "Slice":
            inputs += self._bounds(_of(node, 0), attributes.pop("parts"))
        elif op == "Reshape":
            op, vector = self._reshape(_of(node, 0), attributes.pop("shape"))
            inputs.append(vector)
        return op, inputs, attributes

    def _bounds(self, x: Value, parts: Sequence[tuple[int, Size, Size, int]]) -> list[str]:
        """Return the inputs of a slice: starts, ends, axes, steps."""
        starts: list[Size] = []
        ends: list[Size] = []
        for axis, start, stop, step in parts:
            size = x.shape[axis]
            starts.append(-1 if step < 0 else _from_end(start, size))
            ends.append(-END if step < 0 else END if stop == size else _from_end(stop, size))
        axes, steps = [part[0] for part in parts], [part[3] for part in parts]
        return [self._vector(entries) for entries in (starts, ends, axes, steps)]

    def _reshape(self, x: Value, shape: Shape) -> tuple[str, str]:
        """Return the operation and its second input; insertions and removals of axes are recognised."""
        for op, longer, shorter in (("Unsqueeze", shape, x.shape), ("Squeeze", x.shape, shape)):
            axes = sizes.inserted_axes(longer, shorter)
            if axes is not None:
                return op, self._vector(axes)
        # 0 means the size of the same axis of the input, -1 the only unknown size.
        entries: list[Size] = [
            0 if isinstance(size, Free) and axis < len(x.shape) and x.shape[axis] == size else size
            for axis, size in enumerate(shape)
        ]
        free = [axis for axis, size in enumerate(entries) if isinstance(size, Free)]
        if len(free) == 1:
            entries[free[0]] = -1
        elif free:
            entries = list(shape)
        return "Reshape", self._vector(entries)

    def _vector(self, entries: Sequence[Size]) -> str:
        """Return integers as a tensor of one axis."""
        if not any(isinstance(entry, Free) for entry in entries):
            return self._constant(np.array(entries, np.int64))
        parts = [
            self._size(entry) if isinstance(entry, Free) else self._constant(np.array([entry], np.int64))
            for entry in entries
        ]
        return parts[0] if len(parts) == 1 else self._emit("Concat", *parts, axis=0)

    def _scalar(self, value: int) -> str:
        return self._constant(np.array(value, np.int64))

    def _size(self, size: Size) -> str:
        """Return a size as a tensor of one element."""
        if isinstance(size, int):
            return self._constant(np.array([size], np.int64))
        if size not in self._sizes:
            total: Optional[str] = None
            for atom, factor in size.terms:
                term = self._atom(atom)
                if factor != 1:
                    term = self._emit("Mul", term, self._size(factor))
                total = term if total is None else self._emit("Add", total, term)
            assert total is not None
            self._sizes[size] = self._emit("Add", total, self._size(size.offset)) if size.offset else total
        return self._sizes[size]

    def _atom(self, atom: Atom) -> str:
        if atom not in self._sizes:
            self._sizes[atom] = self._new_atom(atom)
        return self._sizes[atom]

    def _new_atom(self, atom: Atom) -> str:
        if atom.op == "input":
            name, axis = atom.args
            return self._emit("Gather", self._emit("Shape", name), self._size(axis), axis=0)
        left, right = map(self._size, atom.args)
        if atom.op == "floordiv" and atom.least < 0:  # ONNX rounds towards zero
            return self._emit("Div", self._emit("Sub", left, self._emit("Mod", left, right)), right)
        return self._emit(
            {"mul": "Mul", "floordiv": "Div", "mod": "Mod", "min": "Min", "max": "Max"}[atom.op], left, right
        )

    def _emit(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = self._fresh(self._scoped(op))
        self.nodes.append(helper.make_node(op, list(inputs), [name], name, **attributes))
        return name

    def _name(self, value: Value) -> str:
        if id(value) not in self._names:
            assert value.array is not None
            self._names[id(value)] = self._constant(value.array, value.name)
        return self._names[id(value)]

    def _constant(self, array: np.ndarray, name: str = "") -> str:
        array = np.ascontiguousarray(array).reshape(array.shape)
        content = (str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).digest())
        if content not in self._by_content:
            self._by_content[content] = self._fresh(name or "constant")
            self.constants[self._by_content[content]] = array
        return self._by_content[content]

    def _scoped(self, op: str) -> str:
        return f"{self._scope}/{op}" if self._scope else op

    def _fresh(self, name: str) -> str:
        number, found = 0, name
        while found in self._taken:
            number += 1
            found = f"{name}_{number}"
        self._taken.add(found)
        return found


def _of(node: Node, position: int) -> Value:
    value = node.inputs[position]
    assert value is not None
    return value


def _from_end(bound: Size, size: Size) -> Size:
    """Return a bound of a slice; counted from the end if that makes it constant."""
    gap = sizes.sub(size, bound)
    return -gap if isinstance(bound, Free) and isinstance(gap, int) and gap > 0 else bound
