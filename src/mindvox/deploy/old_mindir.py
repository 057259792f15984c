"""MINDIR files that older readers take, MindSpore Lite 2.0 among them.

MindSpore 2.10 writes version 3 of the format, where an operator's options, such as an axis, are inputs. In version 1
they are attributes. MindSpore 2.10 reads both, and gives the same numbers.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindvox.errors import InputError

if TYPE_CHECKING:
    from mindspore.train.mind_ir_pb2 import ModelProto, NodeProto

OLD_VERSION = 1

SHARED = {
    *("Add", "Conv2D", "Depend", "Div", "ExpandDims", "Load", "Log", "MakeTuple", "Maximum", "Mul", "ReLU", "Reshape"),
    *("Sigmoid", "Sqrt", "Square", "Sub", "Transpose", "TupleGetItem", "UpdateState"),
}
"""Operators that both versions write alike."""

OPTIONS: dict[str, dict[int, tuple[str, Any]]] = {
    "BatchMatMul": {2: ("transpose_a", bool), 3: ("transpose_b", bool)},
    "BatchNorm": {5: ("is_training", bool), 6: ("epsilon", float), 7: ("momentum", float), 8: ("format", "NCHW")},
    "BiasAdd": {2: ("format", "NCHW")},
    "Concat": {1: ("axis", int)},
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
"""The inputs of an operator, by position, that are attributes in version 1: name, and type or the only value allowed.

Each is a constant, and no other input follows it.
"""


def lower_mindir(path: Path) -> None:
    """Rewrite a MINDIR of version 3 as version 1, in place.

    Raises:
        InputError: the file has an operator, or an option of one, whose form in version 1 is not known here.
    """
    from mindspore.train import mind_ir_pb2  # here: MindSpore takes seconds to import

    model = mind_ir_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    lower(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def lower(model: "ModelProto") -> None:
    """Turn a model of version 3 into one of version 1; see `lower_mindir`."""
    operators = {f"REF::{primitive.name}": primitive.op_type for primitive in model.primitives}
    constants = {node.output[0]: node for node in model.graph.node if node.op_type == "Constant"}
    nodes = [node for node in model.graph.node if node.op_type != "Constant"]
    unknown = {operators.get(node.op_type, node.op_type) for node in nodes} - SHARED - OPTIONS.keys()
    if unknown:
        raise InputError(
            f"mindir_version {OLD_VERSION}: not known how it writes {', '.join(sorted(unknown))}. Export with "
            "--mindir_version=3, or as ONNX."
        )
    for node in nodes:
        operator = operators.get(node.op_type, node.op_type)
        if operator in OPTIONS:
            _lower_node(node, operator, constants)
    model.mind_ir_version = OLD_VERSION


def _lower_node(node: "NodeProto", operator: str, constants: Mapping[str, "NodeProto"]) -> None:
    """Make attributes of the inputs that are options."""
    options = OPTIONS[operator]
    for position, name in enumerate(node.input):
        if position in options:
            _set(node, operator, *options[position], _value(constants[name]))
    del node.input[min(options) :]
    node.op_type = operator  # no longer a reference to an operator whose options are inputs


def _value(constant: "NodeProto") -> Any:
    attribute = constant.attribute[0]
    if attribute.type == attribute.TUPLE:
        return [value.ints[0] for value in attribute.values]
    return attribute.f if attribute.type == attribute.FLOAT else attribute.i


def _set(node: "NodeProto", operator: str, name: str, kind: Callable[[Any], Any] | str, value: Any) -> None:
    """Add an attribute to a node."""
    attribute = node.attribute.add(name=name)
    if kind == "NCHW":
        if value != 0:  # MindSpore's number of NCHW
            raise InputError(f"mindir_version {OLD_VERSION}: {operator} has a {name} other than NCHW ({value}).")
        attribute.type, attribute.s = attribute.STRING, b"NCHW"
    elif kind is list:
        attribute.type = attribute.TUPLE
        for number in value if isinstance(value, list) else [value]:
            attribute.values.add(type=attribute.INT64, ints=[number])
    elif kind is float:
        attribute.type, attribute.f = attribute.FLOAT, value
    else:
        attribute.type, attribute.i = attribute.BOOL if kind is bool else attribute.INT64, int(value)
