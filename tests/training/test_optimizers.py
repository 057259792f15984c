"""Optimisers against the formulas of PyTorch, whose recipes they follow."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindvox.config import Config, load_config
from mindvox.training.optimizers import make_optimizer

RATES = (0.1, 0.2, 0.05, 0.3, 0.3, 0.01)
GRADIENTS = np.random.default_rng(0).standard_normal((len(RATES), 4)).astype(np.float32)


class OneWeight(nn.Cell):
    def __init__(self, name):
        super().__init__()
        self.weight = Parameter(Tensor(np.ones(4), ms.float32), name=name)


class Update(nn.Cell):
    def __init__(self, optimizer):
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer

    def construct(self, gradient, other):
        self.optimizer((gradient, other))
        return gradient.sum()


def path_of_weights(name, *options):
    model, loss = OneWeight(name), OneWeight("classes")
    optimizer = make_optimizer(load_config(Config, list(options)), model, loss)
    update, path = Update(optimizer), []
    for gradient, rate in zip(GRADIENTS, RATES, strict=True):
        optimizer.learning_rate.set_data(Tensor(rate, ms.float32))
        update(Tensor(gradient), Tensor(gradient))
        path.append(model.weight.asnumpy().copy())
    return np.array(path)


def torch_sgd(momentum, weight_decay, nesterov):
    weight, buffer, path = np.ones(4), None, []
    for gradient, rate in zip(GRADIENTS.astype(float), RATES, strict=True):
        gradient = gradient + weight_decay * weight
        buffer = gradient if buffer is None else momentum * buffer + gradient
        weight = weight - rate * (gradient + momentum * buffer if nesterov else buffer)
        path.append(weight)
    return np.array(path)


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("name", ["matrix", "norm.gamma"])
def test_sgd_is_pytorchs_and_decays_batch_norms_too(nesterov, name):
    options = ("--optimizer=sgd", "--momentum=0.9", "--weight_decay=0.1", f"--nesterov={nesterov}")
    np.testing.assert_allclose(path_of_weights(name, *options), torch_sgd(0.9, 0.1, nesterov), atol=1e-6)


@pytest.mark.parametrize(("name", "decayed"), [("matrix", True), ("norm.gamma", False)])
def test_adam_decays_all_but_batch_norms(name, decayed):
    plain = path_of_weights(name, "--weight_decay=0")
    assert np.array_equal(path_of_weights(name, "--weight_decay=0.1"), plain) != decayed
