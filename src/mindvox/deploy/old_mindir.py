"""Convert MINDIR files for older readers, such as MindSpore Lite 2.0.

MindSpore 2.10 writes version 3 of the format, where an operator's options, such as an axis, are inputs. In version 1
they are attributes. MindSpore 2.10 reads both, with the same results.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindvox.deploy.mindir import OLD_VERSION, OPTIONS, constant_of, operator_names, parse_mindir
from mindvox.errors import InputError

if TYPE_CHECKING:
    from mindspore.train.mind_ir_pb2 import ModelProto, NodeProto

SHARED = {
    *("Abs", "Add", "Conv2D", "Depend", "Div", "ExpandDims", "Load", "Log", "MakeTuple", "MaxPool", "Maximum"),
    *("Minimum", "Mul", "ReLU", "Reshape", "Rsqrt", "Sigmoid", "Sin", "Sqrt", "Square", "Sub", "Transpose"),
    *("TupleGetItem", "UpdateState"),
}
"""Operators that are equal in both versions."""


def lower_mindir(path: Path) -> None:
    """Rewrite a MINDIR of version 3 as version 1, in place.

    Raises:
        InputError: the file is damaged, or has an operator, or an option of one, whose form in version 1 is unknown
            here.
    """
    model = parse_mindir(path)
    lower(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def lower(model: "ModelProto") -> None:
    """Convert a model of version 3 to version 1; see `lower_mindir`."""
    operators = operator_names(model)
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
    """Turn inputs that are options into attributes."""
    options = OPTIONS[operator]
    for position, name in enumerate(node.input):
        if position in options:
            _set(node, operator, *options[position], constant_of(constants[name].attribute[0]))
    del node.input[min(options) :]
    node.op_type = operator  # no longer a reference to an operator whose options are inputs


def _set(node: "NodeProto", operator: str, name: str, kind: Callable[[Any], Any] | str, value: Any) -> None:
    """Add an attribute to a node."""
    attribute = node.attribute.add(name=name)
    if kind == "NCHW":
        if value != 0:  # MindSpore's code for NCHW
            raise InputError(f"mindir_version {OLD_VERSION}: {operator} has a {name} other than NCHW ({value}).")
        attribute.type, attribute.s = attribute.STRING, b"NCHW"
    elif kind is list:
        attribute.type = attribute.TUPLE
        for number in value if isinstance(value, tuple) else [value]:
            attribute.values.add(type=attribute.INT64, ints=[number])
    elif kind is float:
        attribute.type, attribute.f = attribute.FLOAT, value
    else:
        attribute.type, attribute.i = attribute.BOOL if kind is bool else attribute.INT64, int(value)
