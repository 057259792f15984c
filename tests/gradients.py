"""Gradients of a Cell, for tests. In a file of its own because a graph is compiled from its source."""

from typing import Optional

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from tests.deploy.toy import without_compiling


class _Objective(nn.Cell):
    def __init__(self, cell: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.cell = cell

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        return (self.cell(x) * weight).sum()


class _Gradient(nn.Cell):
    def __init__(self, cell: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.gradient = ms.grad(_Objective(cell), 0, cell.trainable_params())

    def construct(self, x: Tensor, weight: Tensor) -> tuple:
        return self.gradient(x, weight)


def input_and_weight_gradients(cell: nn.Cell, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Compute the gradient for each input, by one graph in graph mode; return the last one's, of the input first."""
    gradient = _Gradient(cell)
    gradient.set_train(cell.training)
    for x in inputs:
        with without_compiling():
            shape = cell(Tensor(x)).shape
        weight = Tensor(np.random.default_rng(1).standard_normal(shape), ms.float32)
        of_input, of_weights = gradient(Tensor(x), weight)
    return [value.asnumpy().copy() for value in (of_input, *of_weights)]


def numeric_gradient(cell: nn.Cell, x: np.ndarray, index: tuple, step: float = 1e-2) -> float:
    """Central difference of the same objective at one element of the input."""
    values = []
    for sign in (1, -1):
        moved = x.copy()
        moved[index] += sign * step
        output = cell(Tensor(moved))
        weight = np.random.default_rng(1).standard_normal(output.shape)
        values.append((output.asnumpy().astype(np.float64) * weight).sum())
    return (values[0] - values[1]) / (2 * step)


def same_parameters(source: nn.Cell, target: nn.Cell) -> None:
    """Copy every parameter of `source` to `target`, a Cell of the same structure."""
    for a, b in zip(source.get_parameters(), target.get_parameters(), strict=True):
        b.set_data(ops.deepcopy(a.value()))


class AamGradients(nn.Cell):
    """Loss and gradients of a model under an objective: (feats, label[, lengths]) -> loss, gradients."""

    def __init__(self, model: nn.Cell, loss: nn.Cell, parameters: list) -> None:
        super().__init__(auto_prefix=False)
        self.model, self.loss = model, loss
        self.gradient = ms.value_and_grad(self.objective, None, ms.ParameterTuple(parameters))

    def objective(self, feats: Tensor, label: Tensor, lengths: Optional[Tensor] = None) -> Tensor:
        embedding = self.model(feats) if lengths is None else self.model(feats, lengths)
        return self.loss(embedding, label)[0]

    def construct(self, feats: Tensor, label: Tensor, lengths: Optional[Tensor] = None) -> tuple:
        return self.gradient(feats, label, lengths)
