"""Optimisers against PyTorch or its formulas, whose recipes they follow."""

import json

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindvox.config import Config, load_config
from mindvox.training.optimizers import make_optimizer
from tests.vectors import STORED

RATES = (0.1, 0.2, 0.05, 0.3, 0.3, 0.01)
GRADIENTS = np.random.default_rng(0).standard_normal((len(RATES), 4)).astype(np.float32)


class OneWeight(nn.Cell):
    def __init__(self, name, size=4):
        super().__init__()
        self.weight = Parameter(Tensor(np.ones(size), ms.float32), name=name)


class Update(nn.Cell):
    def __init__(self, optimizer):
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer

    def construct(self, gradient, other):
        self.optimizer((gradient, other))
        return gradient.sum()


def path_of_weights(name, *options, gradients=GRADIENTS, lrates=RATES):
    model, loss = OneWeight(name, gradients.shape[1]), OneWeight("classes", gradients.shape[1])
    optimizer = make_optimizer(load_config(Config, list(options)), model, loss)
    update, path = Update(optimizer), []
    for gradient, rate in zip(gradients, lrates, strict=True):
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


def test_amsgrad_is_pytorchs():
    theirs = json.loads((STORED / "schedules.json").read_text(encoding="utf-8"))["amsgrad"]
    updates = np.arange(400)[:, None]
    gradients = np.where(updates < 20, 4, 0.1) * np.cos(updates * np.array([0.01, 0.02, 0.03]))
    numbers = {"gradients": gradients.astype(np.float32), "lrates": [0.01] * len(gradients)}
    options = ("--momentum=0.9", "--weight_decay=0.01")
    found = path_of_weights("matrix", *options, "--amsgrad", **numbers)[99::100]
    np.testing.assert_allclose(found, theirs, atol=1e-5)  # single precision; the eps is not corrected for bias
    assert np.abs(path_of_weights("matrix", *options, **numbers)[99::100] - found).max() > 0.01
