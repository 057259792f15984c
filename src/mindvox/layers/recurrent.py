"""Recurrent layers with PyTorch's equations and weights: GRU (Cho et al. 2014, arXiv:1406.1078) and LSTM (Hochreiter
and Schmidhuber 1997)."""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindvox.layers.activation import tanh
from mindvox.layers.building import has_lstm


class _Recurrent(nn.Cell):
    """Base class of recurrent layers: the weights of all gates, concatenated in PyTorch's order and shapes."""

    def __init__(self, num_gates: int, in_channels: int, hidden_size: int) -> None:
        super().__init__()
        if min(in_channels, hidden_size) < 1:
            raise ValueError(f"`in_channels`, `hidden_size` must be at least 1, got {in_channels}, {hidden_size}.")
        self.in_channels, self.hidden_size = in_channels, hidden_size
        rows = num_gates * hidden_size
        self.weight_ih = self._parameter("weight_ih", (rows, in_channels))
        self.weight_hh = self._parameter("weight_hh", (rows, hidden_size))
        self.bias_ih = self._parameter("bias_ih", (rows,))
        self.bias_hh = self._parameter("bias_hh", (rows,))
        self.product = ops.MatMul(transpose_b=True)

    def _parameter(self, name: str, shape: tuple[int, ...]) -> Parameter:
        bound = 1 / math.sqrt(self.hidden_size)  # torch's default, which recipes rely on
        return Parameter(Tensor(np.random.uniform(-bound, bound, shape), ms.float32), name=name)

    def inputs_of_gates(self, x: Tensor) -> Tensor:
        """Multiply all frames of x (B, T, in) at once: (T * B, gates * hidden), time-major."""
        x = x.swapaxes(0, 1).reshape(-1, self.in_channels)
        return ops.BiasAdd()(self.product(x, self.weight_ih.astype(x.dtype)), self.bias_ih.astype(x.dtype))


class Gru(_Recurrent):
    """Gated recurrent unit: h' = (1 - z) n + z h, n = tanh(W_n x + b_n + r (U_n h + c_n)), r and z sigmoids.

    Args:
        in_channels: number of input channels.
        hidden_size: channels of the state.

    Inputs:
        - **x** - (B, T, in_channels); T must be known when the graph is compiled, and the graph grows with T.

    Outputs:
        The state after each frame, (B, T, hidden_size). The initial state is zero.
    """

    def __init__(self, in_channels: int, hidden_size: int) -> None:
        super().__init__(3, in_channels, hidden_size)
        self.steps = _GruSteps(hidden_size)

    def construct(self, x: Tensor) -> Tensor:
        num_frames = x.shape[1]
        gates = self.inputs_of_gates(x)
        weight, bias = self.weight_hh.astype(gates.dtype), self.bias_hh.astype(gates.dtype)
        states = self.steps(gates, weight, bias, num_frames)
        return states.reshape(num_frames, -1, self.hidden_size).swapaxes(0, 1)


class _GruSteps(nn.Cell):
    """Compute the state of a GRU after each frame.

    The gradient is written by hand. The framework's own computes a gradient of the whole weight for each frame and adds
    them, which takes three times as long on a CPU. Here one product covers all frames.

    Args:
        hidden_size: H.

    Inputs:
        - **gates** - inputs of the gates r, z, n, (T * B, 3H).
        - **weight** - (3H, H).
        - **bias** - (3H,).
        - **num_frames** - T, a number.

    Outputs:
        (T * B, H).
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.product = ops.MatMul(transpose_b=True)
        self.untransposed_product = ops.MatMul()
        self.sum_of_products = ops.MatMul(transpose_a=True)
        self.split_gates = ops.Split(1, 3)
        self.zeros_like = ops.ZerosLike()

    def construct(self, gates: Tensor, weight: Tensor, bias: Tensor, num_frames: int) -> Tensor:
        frames = ops.Split(0, num_frames)
        reset, update, new = self.split_gates(gates)
        reset, update, new = frames(reset), frames(update), frames(new)
        state = self.zeros_like(new[0])
        states = []
        for frame in range(num_frames):
            by_reset, by_update, by_new = self.split_gates(ops.BiasAdd()(self.product(state, weight), bias))
            candidate = tanh(new[frame] + ops.sigmoid(reset[frame] + by_reset) * by_new)
            state = candidate + ops.sigmoid(update[frame] + by_update) * (state - candidate)
            states.append(state)
        return ops.cat(states, axis=0)

    def bprop(
        self, gates: Tensor, weight: Tensor, bias: Tensor, num_frames: int, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        frames = ops.Split(0, num_frames)
        states = frames(out)
        before = ops.cat([self.zeros_like(states[0]), *states[:-1]], axis=0)
        reset, update, new = self.split_gates(gates)
        by_reset, by_update, by_new = self.split_gates(ops.BiasAdd()(self.product(before, weight), bias))
        reset, update = ops.sigmoid(reset + by_reset), ops.sigmoid(update + by_update)
        candidate = tanh(new + reset * by_new)
        # Per gate: factor from the gradient of a state to the gradient of the product with the previous state.
        to_new = (1 - update) * (1 - candidate * candidate)
        to_update = (before - candidate) * update * (1 - update)
        to_reset = to_new * by_new * reset * (1 - reset)
        factors = frames(ops.cat((to_reset, to_update, to_new * reset), axis=1))
        of_outputs, kept = frames(dout), frames(update)
        of_state = of_outputs[num_frames - 1]
        of_states, of_products = [of_state], []
        for frame in range(num_frames - 1, 0, -1):
            of_product = ops.cat((of_state, of_state, of_state), axis=1) * factors[frame]
            of_products.append(of_product)
            of_state = of_outputs[frame - 1] + of_state * kept[frame] + self.untransposed_product(of_product, weight)
            of_states.append(of_state)
        of_products.append(ops.cat((of_state, of_state, of_state), axis=1) * factors[0])
        of_product, of_state = ops.cat(of_products[::-1], axis=0), ops.cat(of_states[::-1], axis=0)
        of_reset, of_update, _ = self.split_gates(of_product)
        of_gates = ops.cat((of_reset, of_update, of_state * to_new), axis=1)
        return of_gates, self.sum_of_products(of_product, before), of_product.sum(axis=0), 0


class Lstm(_Recurrent):
    """Long short-term memory: c' = f c + i g, h' = o tanh(c'); i, f, o sigmoids and g = tanh of W x + b + U h + c.

    On a CPU and in ONNX, one operation computes all frames, and T may be dynamic. On other devices the graph grows with
    T, and T must be known when it is compiled.

    Args:
        in_channels: number of input channels.
        hidden_size: channels of the state.

    Inputs:
        - **x** - (B, T, in_channels).

    Outputs:
        The hidden state after each frame, (B, T, hidden_size). Both initial states are zero.
    """

    def __init__(self, in_channels: int, hidden_size: int) -> None:
        super().__init__(4, in_channels, hidden_size)
        self.is_one_operation = has_lstm()
        self.lstm = ops.LSTM(in_channels, hidden_size, 1, True, False, 0.0)
        self.zeros = Tensor(np.zeros((1, hidden_size)), ms.float32)
        self.split_gates = ops.Split(1, 4)

    def construct(self, x: Tensor) -> Tensor:
        states = self._at_once(x) if self.is_one_operation else self._unrolled(x)
        return states.swapaxes(0, 1)

    def _at_once(self, x: Tensor) -> Tensor:
        """Return (T, B, hidden). The operation needs all weights in one tensor, and single precision."""
        single = x.astype(ms.float32)
        weights = [self.weight_ih.reshape(-1), self.weight_hh.reshape(-1), self.bias_ih + self.bias_hh]
        packed = ops.cat(weights).astype(ms.float32).reshape(-1, 1, 1)
        zeros = ops.MatMul()(ops.zeros_like(single[:, 0, :1]), self.zeros.astype(ms.float32)).expand_dims(0)
        return self.lstm(single.swapaxes(0, 1), zeros, zeros, packed)[0].astype(x.dtype)

    def _unrolled(self, x: Tensor) -> Tensor:
        num_frames = x.shape[1]
        gates = ops.Split(0, num_frames)(self.inputs_of_gates(x))
        weight, bias = self.weight_hh.astype(x.dtype), self.bias_hh.astype(x.dtype)
        hidden = cell = ops.MatMul()(ops.zeros_like(x[:, 0, :1]), self.zeros.astype(x.dtype))
        states = []
        for frame in range(num_frames):
            summed = gates[frame] + ops.BiasAdd()(self.product(hidden, weight), bias)
            entered, forgotten, new, shown = self.split_gates(summed)
            cell = ops.sigmoid(forgotten) * cell + ops.sigmoid(entered) * tanh(new)
            hidden = ops.sigmoid(shown) * tanh(cell)
            states.append(hidden)
        return ops.cat(states, axis=0).reshape(num_frames, -1, self.hidden_size)
