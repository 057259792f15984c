"""Build PyanNet, pyannote's segmentation network, as an ONNX from its weights.

PyanNet (Bredin and Laurent 2021, arXiv:2104.04045; segmentation-3.0: Plaquet and Bredin 2023, arXiv:2310.13025) is
SincNet (Ravanelli and Bengio 2018, arXiv:1808.00158) with the even and odd band-passes of Pariente et al. (2020,
arXiv:1910.10400), bidirectional LSTMs, linear layers and a classifier. Sizes follow from the weights; the three
strides, which cannot be derived from weights, are those of the published network.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mindvox.deploy.torch_file import read_state
from mindvox.errors import InputError
from mindvox.files import PathLike, atomic_path

INPUT, OUTPUT = "waveforms", "log_probabilities"
SINC_STRIDE, POOL = 10, 3  # samples; frames of each of the three max poolings
MIN_HZ = 50.0  # least low edge and least width of a band
SAMPLE_RATE = 16000
EPSILON, SLOPE = 1e-5, 0.01  # as in torch's InstanceNorm1d and leaky_relu
OPSET, IR_VERSION = 17, 8
NUM_CONVOLUTIONS = 3


def convert_pyannet(weights: PathLike, target: PathLike) -> None:
    """Write an ONNX of waveforms (B, N), 16 kHz, to log-probabilities of the classes (B, T, K), both float32.

    Args:
        weights: file of torch.save with the published names.
        target: the ONNX.

    Raises:
        InputError: the file cannot be read, or is not this network.
    """
    state = read_state(weights)
    try:
        model = pyannet_onnx(state)
    except (KeyError, ValueError) as error:
        raise InputError(f"{weights}: expected the weights of PyanNet; {error} does not fit.") from None
    with atomic_path(target) as temporary:
        onnx.save(model, str(temporary))


def pyannet_onnx(state: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """Return the ONNX for weights with their published names.

    Raises:
        KeyError: a weight is missing.
        ValueError: a weight is left over, or the resulting ONNX is not valid.
    """
    graph = _Graph(state)
    frames = _sincnet(graph)
    frames = graph.add("Transpose", [frames], perm=[2, 0, 1])  # (T, B, C), as LSTM takes it
    for layer in range(_count(state, "lstm.weight_ih_l{}")):
        frames = _lstm(graph, frames, layer)
    frames = graph.add("Transpose", [frames], perm=[1, 0, 2])
    for layer in range(_count(state, "linear.{}.weight")):
        frames = graph.add("LeakyRelu", [_linear(graph, frames, f"linear.{layer}")], alpha=SLOPE)
    graph.add("LogSoftmax", [_linear(graph, frames, "classifier")], [OUTPUT], axis=-1)
    return graph.finish(num_classes=len(state["classifier.bias"]))


def sinc_filters(state: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return SincNet's filters (C, 1, taps): even ones (cosine), then odd ones (sine), of the same bands.

    The left half of the taps is a windowed difference of two sinc functions; the right half mirrors it.
    """
    low_hz, band_hz, half_window, times = (
        state[f"sincnet.conv1d.0.filterbank.{name}"].astype(np.float64)
        for name in ("low_hz_", "band_hz_", "window_", "n_")
    )
    low = MIN_HZ + np.abs(low_hz)
    high = np.clip(low + MIN_HZ + np.abs(band_hz), MIN_HZ, SAMPLE_RATE / 2)
    width = high - low
    even = (np.sin(high @ times) - np.sin(low @ times)) / (times / 2) * half_window
    odd = (np.cos(low @ times) - np.cos(high @ times)) / (times / 2) * half_window
    filters = np.concatenate(
        [
            np.concatenate([even, 2 * width, even[:, ::-1]], axis=1) / (2 * width),
            np.concatenate([odd, np.zeros_like(width), -odd[:, ::-1]], axis=1) / (2 * width),
        ]
    )
    return filters[:, None].astype(np.float32)


class _Graph:
    """Nodes and weights of an ONNX graph; used weights are counted."""

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        self._state = state
        self._left = set(state)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def weight(self, name: str) -> np.ndarray:
        """Take a weight of the network."""
        self._left.discard(name)
        return self._state[name]

    def constant(self, value: np.ndarray) -> str:
        """Store an array and return its name in the graph."""
        name = f"weight_{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, op: str, inputs: Sequence[str], outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add a node and return the name of its first output."""
        names = list(outputs) or [f"{op}_{len(self._nodes)}"]
        self._nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0]

    def finish(self, num_classes: int) -> onnx.ModelProto:
        if self._left:
            raise ValueError(", ".join(sorted(self._left)[:3]))
        inputs = [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", "samples"])]
        outputs = [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", "frames", num_classes])]
        graph = helper.make_graph(self._nodes, "pyannet", inputs, outputs, self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        try:
            onnx.checker.check_model(model, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise ValueError(str(error).splitlines()[0]) from None
        return model


def _sincnet(graph: _Graph) -> str:
    """Waveforms (B, N) to features (B, C, T)."""
    axes = graph.constant(np.array([1], np.int64))
    x = _instance_norm(graph, graph.add("Unsqueeze", [INPUT, axes]), "sincnet.wav_norm1d")
    for layer in range(NUM_CONVOLUTIONS):
        if layer == 0:
            for name in ("low_hz_", "band_hz_", "window_", "n_"):
                graph.weight(f"sincnet.conv1d.0.filterbank.{name}")
            x = graph.add("Conv", [x, graph.constant(sinc_filters(graph._state))], strides=[SINC_STRIDE])
            x = graph.add("Abs", [x])
        else:
            names = (f"sincnet.conv1d.{layer}.weight", f"sincnet.conv1d.{layer}.bias")
            x = graph.add("Conv", [x, *(graph.constant(graph.weight(name)) for name in names)])
        x = graph.add("MaxPool", [x], kernel_shape=[POOL], strides=[POOL])
        x = graph.add("LeakyRelu", [_instance_norm(graph, x, f"sincnet.norm1d.{layer}")], alpha=SLOPE)
    return x


def _instance_norm(graph: _Graph, x: str, name: str) -> str:
    weights = [graph.constant(graph.weight(f"{name}.{part}")) for part in ("weight", "bias")]
    return graph.add("InstanceNormalization", [x, *weights], epsilon=EPSILON)


def _lstm(graph: _Graph, x: str, layer: int) -> str:
    """Frames (T, B, C) to both directions' states, side by side (T, B, 2H)."""

    def stacked(name: str) -> np.ndarray:
        both = (graph.weight(f"lstm.{name}_l{layer}"), graph.weight(f"lstm.{name}_l{layer}_reverse"))
        return np.stack([_onnx_gates(weight) for weight in both])

    weights = (stacked("weight_ih"), stacked("weight_hh"))
    bias = np.concatenate([stacked("bias_ih"), stacked("bias_hh")], axis=1)
    hidden_size = weights[1].shape[2]
    inputs = [x, *(graph.constant(weight) for weight in weights), graph.constant(bias)]
    states = graph.add("LSTM", inputs, direction="bidirectional", hidden_size=hidden_size)  # (T, 2, B, H)
    states = graph.add("Transpose", [states], perm=[0, 2, 1, 3])
    return graph.add("Reshape", [states, graph.constant(np.array([0, 0, 2 * hidden_size], np.int64))])


def _onnx_gates(weight: np.ndarray) -> np.ndarray:
    """Reorder torch's gates (input, forget, cell, output) to ONNX's (input, output, forget, cell)."""
    gate_in, forget, cell, gate_out = np.split(weight, 4)
    return np.concatenate([gate_in, gate_out, forget, cell])


def _linear(graph: _Graph, x: str, name: str) -> str:
    product = graph.add("MatMul", [x, graph.constant(graph.weight(f"{name}.weight").T)])
    return graph.add("Add", [product, graph.constant(graph.weight(f"{name}.bias"))])


def _count(state: Mapping[str, np.ndarray], pattern: str) -> int:
    """Return the number of layers: names with 0, 1, ... in `pattern`."""
    number = 0
    while pattern.format(number) in state:
        number += 1
    return number
