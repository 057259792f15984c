"""AAM-softmax against numbers computed by hand and the gradient on repeated execution."""

import math

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindvox.losses.aam_softmax import AamSoftmax

ANGLES = (0.3, 1.2, 2.0)


class Compiled(nn.Cell):
    def __init__(self, loss):
        super().__init__(auto_prefix=False)
        self.loss = loss

    def construct(self, embedding, label):
        return self.loss(embedding, label)


def make(margin=0.2, scale=30.0):
    loss = AamSoftmax(2, 3, margin=margin, scale=scale)
    loss.weight.set_data(Tensor([[2 * math.cos(a), 2 * math.sin(a)] for a in ANGLES], ms.float32))
    return loss


def expected(angle, label, margin, scale):
    cosines = [math.cos(angle - other) for other in ANGLES]
    theta = abs(angle - ANGLES[label])
    logits = [scale * cosine for cosine in cosines]
    inside = theta < math.pi - margin
    logits[label] = scale * (math.cos(theta + margin) if inside else cosines[label] - math.sin(margin) * margin)
    peak = max(logits)
    return peak + math.log(sum(math.exp(value - peak) for value in logits)) - logits[label]


@pytest.mark.parametrize("angle", [0.3, 1.0, -0.9, 2.0 + math.pi - 0.1])
@pytest.mark.parametrize("label", [0, 2])
def test_loss_equals_the_definition(angle, label):
    embedding = Tensor([[5 * math.cos(angle), 5 * math.sin(angle)]], ms.float32)
    value, cosine = make()(embedding, Tensor([label], ms.int32))
    assert float(value) == pytest.approx(expected(angle, label, 0.2, 30.0), rel=1e-4, abs=1e-4)
    np.testing.assert_allclose(cosine.asnumpy()[0], [math.cos(angle - a) for a in ANGLES], atol=2e-6)


def test_margin_changes_without_a_new_compilation():
    loss = make()
    step = Compiled(loss)
    embedding, label = Tensor([[1.0, 0.5]], ms.float32), Tensor([1], ms.int32)
    angle = math.atan2(0.5, 1.0)
    for margin in (0.2, 0.0, 0.5):
        loss.margin.set_data(Tensor(margin, ms.float32))
        value, _ = step(embedding, label)
        assert float(value) == pytest.approx(expected(angle, 1, margin, 30.0), rel=1e-4)
    assert len(step.compile_cache) == 1


def test_gradient_is_finite_where_an_embedding_equals_its_class_or_is_zero():
    loss = make()
    step = ms.value_and_grad(loss, 0, loss.trainable_params(), has_aux=True)
    embedding = Tensor([[2 * math.cos(0.3), 2 * math.sin(0.3)], [0.0, 0.0]], ms.float32)
    (value, _), gradients = step(embedding, Tensor([0, 1], ms.int32))
    assert np.isfinite(float(value))
    assert all(np.isfinite(gradient.asnumpy()).all() for gradient in (gradients[0], *gradients[1]))


def test_nan_embedding_gives_a_nan_loss():
    value, _ = Compiled(make())(Tensor([[np.nan, 1.0]], ms.float32), Tensor([0], ms.int32))
    assert np.isnan(float(value))


@pytest.mark.parametrize("arguments", [{"margin": -0.1}, {"margin": 2.0}, {"scale": 0.0}])
def test_impossible_options_are_refused(arguments):
    with pytest.raises(ValueError, match="margin: expected|scale: expected"):
        AamSoftmax(2, 3, **arguments)
