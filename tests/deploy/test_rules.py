"""Rules that simplify a graph, each on the smallest one that it applies to."""

import numpy as np
import onnxruntime
import pytest

from mindvox.deploy.graph import sizes
from mindvox.deploy.graph.ir import Graph, Value
from mindvox.deploy.graph.onnx_model import to_onnx
from mindvox.deploy.graph.rules import simplify
from mindvox.deploy.graph.shapes import FLOAT32
from mindvox.deploy.graph.sizes import size_of_input

BATCH, FRAMES = size_of_input("x", 0, 1), size_of_input("x", 2, 9)


def graph_over(*shape):
    """Return a graph of one input."""
    x = Value(shape, FLOAT32, name="x")
    return Graph([x]), x


def run(graph, feeds):
    shapes = [
        {name: [size if isinstance(size, int) else f"{name}_{axis}" for axis, size in enumerate(value.shape)]}
        for name, value in (("x", graph.inputs[0]), ("y", graph.outputs["y"]))
    ]
    model = to_onnx(graph, *shapes, {})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": feeds})[0], [node.op_type for node in model.graph.node]


def simplified(graph, y, feeds):
    """Return the result and the operations after simplification; before, the result is the same."""
    graph.outputs["y"] = y
    expected, _ = run(graph, feeds)
    got, operations = run(simplify(graph), feeds)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    return operations


@pytest.fixture
def feeds():
    return np.random.default_rng(0).standard_normal((2, 4, 12)).astype(np.float32)


def test_two_orders_of_axes_become_one_or_none(feeds):
    graph, x = graph_over(BATCH, 4, FRAMES)
    y = graph.add("Transpose", graph.add("Transpose", x, perm=(2, 0, 1)), perm=(0, 2, 1))
    assert simplified(graph, y, feeds) == ["Transpose"]
    graph, x = graph_over(BATCH, 4, FRAMES)
    y = graph.add("Transpose", graph.add("Transpose", x, perm=(0, 2, 1)), perm=(0, 2, 1))
    assert simplified(graph, graph.add("Relu", y), feeds) == ["Relu"]


def test_rows_are_not_made_before_a_product(feeds):
    graph, x = graph_over(BATCH, 4, 12)
    matrix = graph.constant(np.random.default_rng(1).standard_normal((12, 5)).astype(np.float32))
    rows = graph.add("Reshape", x, shape=(sizes.mul(BATCH, 4), 12))
    y = graph.reshape(graph.add("MatMul", rows, matrix), (BATCH, 4, 5))
    assert simplified(graph, y, feeds) == ["MatMul"]


def test_an_inserted_axis_is_left_out_until_it_is_needed(feeds):
    graph, x = graph_over(1, 4, FRAMES)
    thick = graph.reshape(x, (1, 4, 1, FRAMES))
    y = graph.add("Relu", graph.add("Add", thick, graph.constant(np.ones((1, 4, 1, 1), np.float32))))
    assert simplified(graph, graph.reshape(y, x.shape), feeds[:1]) == ["Add", "Relu"]


def test_a_convolution_that_something_else_uses_keeps_its_own_result(feeds):
    graph, x = graph_over(BATCH, 4, FRAMES)
    weight = graph.constant(np.random.default_rng(1).standard_normal((4, 4, 1)).astype(np.float32))
    conv = graph.add("Conv", x, weight, group=1, strides=(1,), dilations=(1,), pads=(0, 0))
    biased = graph.add("Add", conv, graph.constant(np.arange(4, dtype=np.float32).reshape(1, 4, 1)))
    assert simplified(graph, graph.add("Mul", biased, conv), feeds) == ["Conv", "Add", "Mul"]


def test_slices_that_are_no_mirror_image_stay(feeds):
    graph, x = graph_over(BATCH, 4, 12)
    left = graph.add("Slice", x, parts=((2, 0, 1, 1),))  # the edge itself, which a mirror image leaves out
    right = graph.add("Slice", x, parts=((2, 11, 12, 1),))
    assert simplified(graph, graph.add("Concat", left, x, right, axis=2), feeds) == ["Slice", "Slice", "Concat"]
