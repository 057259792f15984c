"""The operators of MINDIR files."""

import pytest

mind_ir_pb2 = pytest.importorskip("mindspore.train.mind_ir_pb2")
NOT_IN_LITE = {"SumExt", "Divs", "Muls", "Subs", "Adds", "MeanExt"}


def graph_of(path):
    model = mind_ir_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    return model


def operators(model):
    named = {f"REF::{primitive.name}": primitive.op_type for primitive in model.primitives}
    return {named.get(node.op_type, node.op_type) for node in model.graph.node}
