"""Sub-centres and the inter-top-k penalty of AAM-softmax against NumPy, and its gradients on repeated execution."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindvox.config import Config, load_config
from mindvox.errors import InputError
from mindvox.losses.aam_softmax import AamSoftmax

NUM_CLASSES, EMB_SIZE, BATCH = 7, 5, 6
OPTIONS = {
    "sub-centres": {"sub_centers": 3},
    "inter-top-k": {"inter_topk": 2},
    "both": {"sub_centers": 3, "inter_topk": 2},
    "all others": {"inter_topk": 6, "inter_topk_margin": 0.1},
}


def draw(seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((BATCH, EMB_SIZE)).astype(np.float32), rng.integers(0, NUM_CLASSES, BATCH).astype("i4")


def make(**options):
    np.random.seed(0)
    return AamSoftmax(EMB_SIZE, NUM_CLASSES, **options)


def reference(weight, embedding, label, margin, penalty, sub_centers=1, inter_topk=0):
    """The loss, row by row and by angles, in double precision."""
    weight = weight.astype(float) / np.linalg.norm(weight.astype(float), axis=1, keepdims=True)
    embedding = embedding.astype(float) / np.linalg.norm(embedding.astype(float), axis=1, keepdims=True)
    losses, cosines = [], []
    for row, own in zip(embedding, label, strict=True):
        cosine = np.array([max(row @ center for center in centers) for centers in np.split(weight, NUM_CLASSES)])
        logits = cosine.copy()
        logits[own] = np.cos(np.arccos(cosine[own]) + margin)
        if np.arccos(cosine[own]) >= np.pi - margin:
            logits[own] = cosine[own] - np.sin(margin) * margin
        others = [index for index in np.argsort(-cosine) if index != own]
        for index in others[:inter_topk]:
            logits[index] = np.cos(np.arccos(cosine[index]) - penalty)
        logits *= 30
        losses.append(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[own])
        cosines.append(cosine)
    return np.mean(losses), np.array(cosines)


@pytest.mark.parametrize("name", OPTIONS)
def test_loss_equals_its_definition_at_any_margin_of_a_schedule(name):
    loss, options = make(**OPTIONS[name]), dict(OPTIONS[name])
    full_penalty = options.pop("inter_topk_margin", 0.06)
    embedding, label = draw(1)
    for margin in (0.2, 0.0, 0.1):
        loss.margin.set_data(Tensor(margin, ms.float32))
        value, cosine = loss(Tensor(embedding), Tensor(label))
        penalty = full_penalty * margin / 0.2
        expected, expected_cosine = reference(loss.weight.asnumpy(), embedding, label, margin, penalty, **options)
        assert float(value) == pytest.approx(expected, rel=2e-5)
        np.testing.assert_allclose(cosine.asnumpy(), expected_cosine, atol=1e-6)


class Gradients(nn.Cell):
    def __init__(self, loss):
        super().__init__(auto_prefix=False)
        self.gradient = ms.value_and_grad(loss, 0, loss.trainable_params(), has_aux=True)

    def construct(self, embedding, label):
        return self.gradient(embedding, label)


def gradients_after(loss, seeds):
    cell = Gradients(loss)
    for seed in seeds:
        _, (of_embedding, of_weights) = cell(*map(Tensor, draw(seed)))
    return of_embedding.asnumpy().copy(), of_weights[0].asnumpy().copy()


@pytest.mark.parametrize("name", ["both", "inter-top-k"])
def test_third_execution_has_a_fresh_graphs_gradients_and_those_of_differences(name):
    third = gradients_after(make(**OPTIONS[name]), (1, 2, 3))
    fresh = gradients_after(make(**OPTIONS[name]), (3,))
    for a, b in zip(third, fresh, strict=True):
        np.testing.assert_array_equal(a, b)
    embedding, label = draw(3)
    weight = make(**OPTIONS[name]).weight.asnumpy()
    numeric = np.zeros_like(weight)
    for index in np.ndindex(*weight.shape):
        values = []
        for sign in (1, -1):
            moved = weight.astype(float)
            moved[index] += sign * 1e-5
            values.append(reference(moved, embedding, label, 0.2, 0.06, **OPTIONS[name])[0])
        numeric[index] = (values[0] - values[1]) / 2e-5
    np.testing.assert_allclose(third[1], numeric, atol=2e-3)


@pytest.mark.parametrize("wrong", [{"sub_centers": 0}, {"inter_topk": 7}, {"inter_topk": -1}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ValueError, match="sub_centers: expected|inter_topk: expected"):
        AamSoftmax(EMB_SIZE, NUM_CLASSES, **wrong)


def test_configuration_sets_every_option_and_refuses_more_rivals_than_there_are():
    options = ["--emb_size=4", "--margin=0.3", "--scale=32", "--sub_centers=3", "--inter_topk=5"]
    config = load_config(Config, [*options, "--inter_topk_margin=0.09"])
    loss = config.loss.build(4, 6)
    assert loss.weight.shape == (18, 4) and float(loss.margin) == pytest.approx(0.3)
    assert (loss.scale, loss.sub_centers, loss.inter_topk) == (32, 3, 5)
    assert loss.hard_share == pytest.approx(0.3)
    with pytest.raises(InputError, match="inter_topk: expected less than the 5 classes"):
        config.loss.build(4, 5)


@pytest.mark.parametrize("sub_centers", [1, 3])
def test_classifier_of_more_speeds_is_cut_to_the_speakers(sub_centers):
    loss = make(sub_centers=sub_centers)
    rows = NUM_CLASSES * sub_centers
    arrays = {"loss.weight": np.arange(3 * rows * EMB_SIZE).reshape(-1, EMB_SIZE), "loss.margin": np.float32(0.5)}
    cut = loss.adapt(arrays, {"sub_centers": sub_centers})
    np.testing.assert_array_equal(cut["loss.weight"], arrays["loss.weight"][:rows])
    assert cut["loss.margin"] == np.float32(0.5)
    fits = {"loss.weight": arrays["loss.weight"][: rows + 1]}  # no multiple: for `assign` to refuse
    assert len(loss.adapt(fits, {"sub_centers": sub_centers})["loss.weight"]) == rows + 1


def test_classifier_of_other_sub_centres_is_refused():
    with pytest.raises(InputError, match="sub_centers: the checkpoint's classifier has 3.*set sub_centers: 3"):
        make().adapt({"loss.weight": np.zeros((21, EMB_SIZE))}, {"sub_centers": 3})
