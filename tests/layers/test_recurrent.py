"""Recurrent layers against their equations in double precision, step by step in NumPy."""

import mindspore as ms
import numpy as np
import onnxruntime
import pytest
from mindspore import Tensor

from mindvox.deploy.mindir_to_onnx import mindir_to_onnx
from mindvox.layers.building import building_for
from mindvox.layers.recurrent import Gru, Lstm
from tests.deploy.toy import without_compiling
from tests.gradients import input_and_weight_gradients, same_parameters

SIZES = (5, 6)  # channels and states
GRU, LSTM, NATIVE_LSTM = (Gru, "CPU"), (Lstm, "CPU"), (Lstm, "Ascend")
ALL = pytest.mark.parametrize("kind", [GRU, LSTM, NATIVE_LSTM], ids=["gru", "lstm", "native-lstm"])


def make(kind):
    layer, device = kind
    np.random.seed(3)
    with building_for(device):
        return layer(*SIZES)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_step(by_input, by_state, states):
    (hidden,) = states
    (xr, xz, xn), (hr, hz, hn) = np.split(by_input, 3, axis=1), np.split(by_state, 3, axis=1)
    update, new = sigmoid(xz + hz), np.tanh(xn + sigmoid(xr + hr) * hn)
    return ((1 - update) * new + update * hidden,)


def lstm_step(by_input, by_state, states):
    entered, forgotten, new, shown = np.split(by_input + by_state, 4, axis=1)
    cell = sigmoid(forgotten) * states[1] + sigmoid(entered) * np.tanh(new)
    return sigmoid(shown) * np.tanh(cell), cell


def expected(kind, weights, x):
    """Return the states (B, T, H), float64; weights by name."""
    step, count = (gru_step, 1) if kind[0] is Gru else (lstm_step, 2)
    states = (np.zeros((len(x), SIZES[1])),) * count
    outputs = []
    for frame in x.swapaxes(0, 1):
        by_input = frame @ weights["weight_ih"].T + weights["bias_ih"]
        states = step(by_input, states[0] @ weights["weight_hh"].T + weights["bias_hh"], states)
        outputs.append(states[0])
    return np.stack(outputs, axis=1)


def doubled(layer):
    return {parameter.name: parameter.asnumpy().astype(np.float64) for parameter in layer.trainable_params()}


@ALL
@pytest.mark.parametrize(("batch", "frames"), [(1, 1), (3, 7)])
def test_states_follow_the_equations(kind, batch, frames):
    layer = make(kind)
    x = 2 * np.random.default_rng(0).standard_normal((batch, frames, SIZES[0]))
    with without_compiling():
        states = layer(Tensor(x.astype(np.float32))).asnumpy()
    np.testing.assert_allclose(states, expected(kind, doubled(layer), x), atol=2e-6)


@pytest.mark.parametrize(
    "kind", [GRU, LSTM, pytest.param(NATIVE_LSTM, marks=pytest.mark.slow)], ids=["gru", "lstm", "native-lstm"]
)
def test_gradients_of_the_third_execution_are_those_of_the_equations(kind):
    layer = make(kind).set_train()
    rng = np.random.default_rng(1)
    inputs = [rng.standard_normal((2, 4, SIZES[0])) for _ in range(3)]
    gradients = input_and_weight_gradients(layer, [x.astype(np.float32) for x in inputs])
    weight, arrays = np.random.default_rng(1).standard_normal((2, 4, SIZES[1])), doubled(layer)
    values = {"x": inputs[-1], **arrays}
    for (name, value), gradient in zip(values.items(), gradients, strict=True):
        numeric = np.zeros(value.shape)
        for index in np.ndindex(value.shape):
            sums = []
            for step in (1e-5, -1e-5):
                moved = value.copy()
                moved[index] += step
                of_name = {**values, name: moved}
                sums.append((expected(kind, of_name, of_name["x"]) * weight).sum())
            numeric[index] = (sums[0] - sums[1]) / 2e-5
        assert np.abs(gradient - numeric).max() <= 1e-5 * np.abs(numeric).max(), name


def test_forms_of_the_lstm_are_equal():
    fast, native = make(LSTM), make(NATIVE_LSTM)
    same_parameters(fast, native)
    x = Tensor(np.random.default_rng(2).standard_normal((2, 9, SIZES[0])), ms.float32)
    with without_compiling():
        np.testing.assert_allclose(fast(x).asnumpy(), native(x).asnumpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "frames"),
    [(GRU, 3), ((Lstm, "ONNX"), None), (NATIVE_LSTM, 3)],
    ids=["gru", "lstm", "native"],
)
def test_export_of_any_batch_has_the_same_states(kind, frames, tmp_path):
    layer = make(kind).set_train(False)
    shape = [None, frames, SIZES[0]]
    ms.export(layer, Tensor(shape=shape, dtype=ms.float32), file_name=str(tmp_path / "m.mindir"), file_format="MINDIR")
    tensors = [{"name": "feats", "shape": shape}], [{"name": "states", "shape": [None, frames, SIZES[1]]}]
    model = mindir_to_onnx(tmp_path / "m.mindir", *tensors, {})
    assert [node.op_type for node in model.graph.node].count("LSTM") == (kind[0] is Lstm and kind != NATIVE_LSTM)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch, length in ((1, frames or 2), (4, frames or 11)):
        x = np.random.default_rng(batch).standard_normal((batch, length, SIZES[0])).astype(np.float32)
        with without_compiling():
            states = layer(Tensor(x)).asnumpy()
        np.testing.assert_allclose(session.run(None, {"feats": x})[0], states, atol=1e-6)


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="`hidden_size` must be at least 1, got 3, 0"):
        Gru(3, 0)
