"""Read MINDIR files as a graph of operators, without running them. All content is checked before use."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

import numpy as np

from mindvox.errors import InputError
from mindvox.files import PathLike

if TYPE_CHECKING:
    from mindspore.train.mind_ir_pb2 import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

OLD_VERSION = 1

OPTIONS: dict[str, dict[int, tuple[str, Union[Callable[[Any], Any], str]]]] = {
    "BatchMatMul": {2: ("transpose_a", bool), 3: ("transpose_b", bool)},
    "BatchNorm": {5: ("is_training", bool), 6: ("epsilon", float), 7: ("momentum", float), 8: ("format", "NCHW")},
    "BiasAdd": {2: ("format", "NCHW")},
    "Concat": {1: ("axis", int)},
    "MatMul": {2: ("transpose_a", bool), 3: ("transpose_b", bool)},
    "ReduceMax": {2: ("keep_dims", bool)},
    "ReduceMean": {2: ("keep_dims", bool)},
    "ReduceSum": {2: ("keep_dims", bool), 3: ("skip_mode", bool)},
    "Softmax": {1: ("axis", list)},
    "Split": {1: ("axis", int), 2: ("output_num", int)},
    "Squeeze": {1: ("axis", list)},
    "StridedSlice": {
        4: ("begin_mask", int),
        5: ("end_mask", int),
        6: ("ellipsis_mask", int),
        7: ("new_axis_mask", int),
        8: ("shrink_axis_mask", int),
    },
}
"""Operator inputs, by position, that are attributes in version 1: name, and type or the only value allowed.

Each is a constant, and no other input follows it.
"""

DTYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16,
          11: np.float64, 17: np.float64}  # fmt: skip
"""Types of elements by their code in the file."""

Constant = Union[None, bool, int, float, str, np.ndarray, tuple]


class Operation(NamedTuple):
    """A node.

    Attributes:
        name: name of the node.
        operator: its operator, such as "Conv2D".
        inputs: names of parameters, inputs, constants and other nodes.
        attributes: static arguments.
        scope: its layer, such as "blocks.0.tdnn1".
    """

    name: str
    operator: str
    inputs: list[str]
    attributes: dict[str, Constant]
    scope: str


class Mindir(NamedTuple):
    """A model's graph.

    Attributes:
        writer: version of the MindSpore that wrote the file.
        inputs: shape of each input by name; None for a free size.
        parameters: by name.
        constants: by name.
        operations: in the order of computation.
        output: name of the result, which may be a tuple.
    """

    writer: str
    inputs: dict[str, tuple[Optional[int], ...]]
    parameters: dict[str, np.ndarray]
    constants: dict[str, Constant]
    operations: list[Operation]
    output: str


def parse_mindir(path: PathLike) -> "ModelProto":
    """Return the content of a MINDIR file.

    Raises:
        InputError: it is not a MINDIR, or is truncated.
    """
    from google.protobuf.message import DecodeError
    from mindspore.train import mind_ir_pb2  # imported here: MindSpore takes seconds

    model = mind_ir_pb2.ModelProto()
    try:
        model.ParseFromString(Path(path).read_bytes())
    except (DecodeError, IndexError, ValueError):
        raise InputError(f"{path}: not a whole MINDIR.") from None
    if not model.graph.node:
        raise InputError(f"{path}: a MINDIR without a graph.")
    return model


def operator_names(model: "ModelProto") -> dict[str, str]:
    """Return the operators that the nodes of a model refer to."""
    return {f"REF::{primitive.name}": primitive.op_type for primitive in model.primitives}


def read_mindir(path: PathLike) -> Mindir:
    """Read the graph of a MINDIR of version 3 or 1.

    Raises:
        InputError: the file is damaged, or has features that no exported model of this project has: several graphs,
            encrypted weights, weights in other files.
    """
    model = parse_mindir(path)
    try:
        return _read(model)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{path}: a damaged MINDIR, or not an exported model of this project: {error}.") from error


def _read(model: "ModelProto") -> Mindir:
    graph = model.graph
    if model.functions:
        raise ValueError("it has several graphs")
    if len(graph.output) != 1:
        raise ValueError(f"it has {len(graph.output)} results")
    primitives = {f"REF::{primitive.name}": primitive for primitive in model.primitives}
    operations = []
    for node in graph.node:
        if node.op_type == "Constant":
            continue
        primitive = primitives.get(node.op_type)
        attributes = {attribute.name: constant_of(attribute) for attribute in primitive.attribute} if primitive else {}
        operator = primitive.op_type if primitive else node.op_type
        operations.append(Operation(_output_of(node), operator, list(node.input), attributes, _scope_of(node)))
    constants = {_output_of(node): constant_of(node.attribute[0]) for node in graph.node if node.op_type == "Constant"}
    if model.mind_ir_version == OLD_VERSION:
        nodes = [node for node in graph.node if node.op_type != "Constant"]
        operations = [
            _with_options(operation, node, constants) for operation, node in zip(operations, nodes, strict=True)
        ]
    return Mindir(
        writer=model.model_version,
        inputs=_inputs(graph),
        parameters={parameter.name: _array(parameter) for parameter in graph.parameter},
        constants=constants,
        operations=operations,
        output=graph.output[0].name,
    )


def _output_of(node: "NodeProto") -> str:
    if len(node.output) != 1:
        raise ValueError(f"node {node.name} has {len(node.output)} outputs")
    return node.output[0]


def _inputs(graph: "GraphProto") -> dict[str, tuple[Optional[int], ...]]:
    inputs = {}
    for value in graph.input:
        if len(value.tensor) != 1 or value.tensor[0].data_type != 1:
            raise ValueError(f"input {value.name} is no float32 tensor")
        inputs[value.name] = tuple(size if size > 0 else None for size in value.tensor[0].dims)
    return inputs


def _with_options(operation: Operation, node: "NodeProto", constants: dict[str, Constant]) -> Operation:
    """Return an operation of version 1 in the form of version 3, with its options among its inputs."""
    options = OPTIONS.get(operation.operator)
    if options is None:
        return operation
    found = {attribute.name: attribute for attribute in node.attribute}
    inputs = list(operation.inputs[: min(options)])
    for name, _ in options.values():
        inputs.append(f"{operation.name}/{name}")
        constants[inputs[-1]] = constant_of(found[name])
    return operation._replace(inputs=inputs)


def _scope_of(node: "NodeProto") -> str:
    """Return "blocks.0.tdnn1" of "Default/blocks-CellList/0-FoldedSERes2Cell/tdnn1-Conv1d/Conv2D-op0"."""
    layers = node.domain.split("/")[1:-1]
    return ".".join(layer.rpartition("-")[0] or layer for layer in layers)


def constant_of(attribute: "AttributeProto") -> Constant:
    """Return the value of a node of the operator Constant, or of an argument.

    Raises:
        ValueError: a tensor's elements do not fit its shape.
    """
    kind = attribute.AttributeType.Name(attribute.type)
    if kind in ("TUPLE", "LIST"):
        return tuple(constant_of(value) for value in attribute.values)
    if kind == "TENSORS":
        return _array(attribute.tensors[0])
    if kind in ("TENSOR", "SCALAR"):
        return None
    if kind in ("FLOAT", "DOUBLE"):
        repeated, single = (attribute.floats, attribute.f) if kind == "FLOAT" else (attribute.doubles, attribute.d)
        return float(repeated[0] if repeated else single)
    if kind == "BOOL":
        return bool(attribute.ints[0] if attribute.ints else attribute.i)
    if kind.startswith(("INT", "UINT")):
        return int(attribute.ints[0] if attribute.ints else attribute.i)
    if kind == "STRING":
        return attribute.s.decode(errors="replace")
    return None  # for example an operator that orders side effects


def _array(tensor: "TensorProto") -> np.ndarray:
    shape, dtype = tuple(tensor.dims), DTYPES.get(tensor.data_type)
    if tensor.external_data.location or tensor.compression_type:
        raise ValueError(f"{tensor.name} lies in another file, or is compressed")
    if dtype is None or min(shape, default=0) < 0:
        raise ValueError(f"{tensor.name} has the type {tensor.data_type} and the shape {shape}")
    if math.prod(shape) * np.dtype(dtype).itemsize != len(tensor.raw_data):
        raise ValueError(f"{tensor.name} has {len(tensor.raw_data)} bytes for the shape {shape}")
    return np.frombuffer(tensor.raw_data, dtype).reshape(shape)
