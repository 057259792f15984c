"""ECAPA-TDNN as an ONNX graph, written node by node from the folded weights.

`mindspore.onnx` (2.10) cannot write it: it knows no reflected padding, pads convolutions in a wrong order, bakes
one length into every slice that runs to the end, and fails on axes given as numbers.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import numpy as np

from mindvox.engines.exported import ExportedModel
from mindvox.errors import InputError
from mindvox.frontend import front_end_of
from mindvox.frontend.fbank import Fbank
from mindvox.frontend.fbank_cell import DB
from mindvox.layers.pooling.asp import EPS
from mindvox.models.fold import DILATIONS, SCALE, Conv, FoldedEcapa, FoldedSERes2

if TYPE_CHECKING:
    import onnx

OPSET = 17  # reductions still take their axes as attributes; ONNX Runtime since 1.12, OpenVINO since 2023
IR_VERSION = 8
FLOAT = 1  # onnx.TensorProto.FLOAT


class Node(NamedTuple):
    """An operator, the names of its inputs and outputs, and its attributes."""

    op: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any]


class Graph:
    """Nodes and constants in the order of computation; a value is known by its name."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, values: np.ndarray, hint: str) -> str:
        """Add a constant and return its name."""
        name = f"{hint}_{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(values)
        return name

    def add(self, op: str, *inputs: str, name: Optional[str] = None, num_outputs: int = 1, **attributes: Any) -> Any:
        """Add a node and return the name of its output, or a list of them."""
        base = name or f"{op.lower()}_{len(self.nodes)}"
        outputs = [base] if num_outputs == 1 else [f"{base}_{index}" for index in range(num_outputs)]
        self.nodes.append(Node(op, inputs, outputs, attributes))
        return outputs[0] if num_outputs == 1 else outputs

    def scalar(self, value: float) -> str:
        """Add one number."""
        return self.constant(np.array(value, np.float32), "scalar")

    def per_channel(self, values: np.ndarray) -> str:
        """Add one value a channel, (1, channels, 1)."""
        return self.constant(values.reshape(1, -1, 1), "channels")

    def conv(self, x: str, conv: Conv, dilation: int = 1) -> str:
        """Convolve with reflected edges: T frames stay T frames.

        Every convolution says its stride: MindSpore Lite's converter (2.0.0) takes none for a fault, at Build.
        """
        kernel_size = conv.weight.shape[2]
        pad = dilation * (kernel_size - 1) // 2
        if pad:
            pads = self.constant(np.array([0, 0, pad, 0, 0, pad], np.int64), "pads")
            x = self.add("Pad", x, pads, mode="reflect")
        weight, bias = self.constant(conv.weight, "weight"), self.constant(conv.bias, "bias")
        return self.add("Conv", x, weight, bias, kernel_shape=[kernel_size], dilations=[dilation], strides=[1])

    def conv_of_parts(self, parts: Sequence[str], conv: Conv) -> str:
        """Convolve the concatenation of equal parts, one frame at a time, as a sum over the parts.

        OpenVINO's product of 3072 by 3072 channels runs at a quarter of its rate on AVX2, three of 1024 do not.
        """
        first, *others = np.split(conv.weight, len(parts), axis=1)
        total = self.conv(parts[0], Conv(first, conv.bias))
        for part, weight in zip(parts[1:], others, strict=True):
            total = self.add("Add", total, self.project(part, weight))
        return total

    def project(self, x: str, weight: np.ndarray) -> str:
        """Multiply channels, without a bias."""
        return self.add("Conv", x, self.constant(weight, "weight"), kernel_shape=[1], strides=[1])

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def mean_over_frames(self, x: str) -> str:
        return self.add("ReduceMean", x, axes=[2], keepdims=1)

    def signed(self, x: str, sign: np.ndarray) -> str:
        """Multiply by signs, unless all are positive."""
        return x if np.all(sign > 0) else self.add("Mul", x, self.per_channel(sign))

    def root(self, variance: str) -> str:
        return self.add("Sqrt", self.add("Max", variance, self.scalar(EPS)))


def build_onnx(folded: FoldedEcapa, exported: ExportedModel) -> "onnx.ModelProto":
    """Return the model that `exported` describes, checked by onnx's checker.

    Args:
        folded: the weights.
        exported: inputs, outputs and front end; all but the hashes of the file is written into the model.
    """
    graph = Graph()
    (source,) = exported.inputs
    if exported.input_kind == "waveform":
        front_end = front_end_of(exported.front_end)
        if not isinstance(front_end, Fbank):
            raise InputError(f"a waveform model of {front_end.name} cannot be written as {exported.file_format} yet.")
        feats = _front_end(graph, source["name"], front_end)
    else:
        feats = graph.add("Transpose", source["name"], perm=[0, 2, 1])
    _network(graph, folded, feats, with_attention=bool(exported.further_outputs))
    return _assemble(graph, exported)


def _assemble(graph: Graph, exported: ExportedModel) -> "onnx.ModelProto":
    import onnx  # here: an extra, and the module can be imported without it
    from onnx import helper, numpy_helper

    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node(node.op, node.inputs, node.outputs, node.outputs[0], **node.attributes)
                for node in graph.nodes
            ],
            "ecapa_tdnn",
            [helper.make_tensor_value_info(*_value(tensor)) for tensor in exported.inputs],
            [helper.make_tensor_value_info(*_value(tensor)) for tensor in exported.outputs],
            [numpy_helper.from_array(values, name) for name, values in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="ecapa-tdnn-mindspore",
    )
    helper.set_model_props(model, exported.metadata())
    onnx.checker.check_model(model, full_check=True)
    return model


def _network(graph: Graph, folded: FoldedEcapa, x: str, with_attention: bool) -> None:
    """Add everything from features (B, F, T) to the outputs, as FoldedEcapaCell computes it."""
    x = graph.signed(graph.relu(graph.conv(x, folded.stem)), folded.stem_affine.sign)
    x = graph.add("Add", x, graph.per_channel(folded.stem_affine.shift))
    outputs = []
    for block, dilation in zip(folded.blocks, DILATIONS, strict=True):
        x = _block(graph, block, x, dilation)
        outputs.append(x)
    x = graph.relu(graph.conv_of_parts(outputs, folded.mfa))
    weight = _attention(graph, folded, x)
    if with_attention:
        graph.add("Transpose", weight, perm=[0, 2, 1], name="attention")
    mean = graph.add("ReduceSum", graph.add("Mul", weight, x), _axes(graph, 2), keepdims=1)
    spread = graph.add("Mul", weight, _squared_distance(graph, x, mean))
    deviation = graph.root(graph.add("ReduceSum", spread, _axes(graph, 2), keepdims=1))
    embedding = graph.conv(graph.add("Concat", mean, deviation, axis=1), folded.fc)
    graph.add("Squeeze", embedding, _axes(graph, 2), name="embedding")


def _block(graph: Graph, block: FoldedSERes2, x: str, dilation: int) -> str:
    splits = graph.add("Split", graph.relu(graph.conv(x, block.tdnn1)), num_outputs=SCALE, axis=1)
    y = graph.relu(graph.conv(splits[1], block.res2[0], dilation))
    outputs = [splits[0], y]
    for split, sign, conv in zip(splits[2:], block.mix, block.res2[1:], strict=True):
        y = graph.relu(graph.conv(graph.add("Add", split, graph.signed(y, sign)), conv, dilation))
        outputs.append(y)
    y = graph.relu(graph.conv(graph.add("Concat", *outputs, axis=1), block.tdnn2))
    y = graph.add("Add", y, graph.per_channel(block.shift))
    squeezed = graph.relu(graph.conv(graph.mean_over_frames(y), block.squeeze))
    gate = graph.signed(graph.add("Sigmoid", graph.conv(squeezed, block.excite)), block.gate_sign)
    return graph.add("Add", x, graph.add("Mul", y, gate))


def _attention(graph: Graph, folded: FoldedEcapa, x: str) -> str:
    hidden = graph.conv(x, folded.attention)
    if folded.context is not None:
        mean = graph.mean_over_frames(x)
        deviation = graph.root(graph.mean_over_frames(_squared_distance(graph, x, mean)))
        context = graph.add("Concat", mean, deviation, axis=1)
        hidden = graph.add("Add", hidden, graph.project(context, folded.context))
    hidden = graph.add("Mul", graph.relu(hidden), graph.per_channel(folded.attention_scale))
    hidden = graph.add("Add", hidden, graph.per_channel(folded.attention_shift))
    return graph.add("Softmax", graph.project(graph.add("Tanh", hidden), folded.attention_out), axis=2)


def _squared_distance(graph: Graph, x: str, mean: str) -> str:
    distance = graph.add("Sub", x, mean)
    return graph.add("Mul", distance, distance)


def _front_end(graph: Graph, waveform: str, front_end: Fbank) -> str:
    """Add the front end: samples (B, N) to mean-subtracted features (B, F, T), as FbankCell computes them."""
    dft = front_end.analysis().astype(np.float32)[:, None]
    spectrum = graph.add(
        "Conv",
        graph.add("Unsqueeze", waveform, _axes(graph, 1)),
        graph.constant(dft, "dft"),
        kernel_shape=[front_end.n_fft],
        strides=[front_end.hop_length],
        pads=[front_end.n_fft // 2] * 2,
    )
    real, imaginary = graph.add("Split", graph.add("Mul", spectrum, spectrum), num_outputs=2, axis=1)
    filters = front_end.filters().T.astype(np.float32)[..., None]
    power = graph.project(graph.add("Add", real, imaginary), filters)
    feats = graph.add("Log", graph.add("Max", power, graph.scalar(front_end.options.amin)))
    feats = graph.add("Mul", feats, graph.scalar(DB))
    floor = graph.add("ReduceMax", feats, axes=[1, 2], keepdims=1)
    feats = graph.add("Max", feats, graph.add("Sub", floor, graph.scalar(front_end.options.top_db)))
    return graph.add("Sub", feats, graph.mean_over_frames(feats))


def _axes(graph: Graph, *axes: int) -> str:
    return graph.constant(np.array(axes, np.int64), "axes")


def _value(tensor: Mapping[str, Any]) -> tuple[str, int, list[Any]]:
    """Return name, type and shape of an input or output; free sizes of one meaning share a name."""
    names = ["batch", "samples" if tensor["name"] == "waveform" else "frames"]
    shape = [names[axis] if size is None else size for axis, size in enumerate(tensor["shape"])]
    return tensor["name"], FLOAT, shape
