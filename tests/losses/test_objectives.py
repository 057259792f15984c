"""What every objective has: finite gradients where cosines are 1 and -1, shares of right answers, mining."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindvox.losses.ge2e import Ge2e
from mindvox.losses.triplet import Triplet
from mindvox.registry import LOSSES
from tests.deploy.toy import without_compiling

MARGINS = ("aam_softmax", "am_softmax", "arm_softmax", "ham_softmax", "sphere", "sphereface2", "triplet_angular")


@pytest.mark.parametrize("name", MARGINS)
def test_gradients_are_finite_where_an_embedding_lies_on_a_centre_or_opposite(name):
    loss = LOSSES.get(name)(4, 3)
    loss.weight.set_data(Tensor(np.eye(3, 4), ms.float32))
    embedding = Tensor(np.concatenate((np.eye(3, 4), -np.eye(3, 4), np.zeros((2, 4)))), ms.float32)
    label = Tensor([0, 1, 2, 0, 1, 2, 0, 0], ms.int32)
    with without_compiling():
        (value, _), (of_embedding, of_parameters) = ms.value_and_grad(loss, 0, loss.trainable_params(), has_aux=True)(
            embedding, label
        )
    assert np.isfinite(float(value)) and np.isfinite(of_embedding.asnumpy()).all()
    assert all(np.isfinite(gradient.asnumpy()).all() for gradient in of_parameters)


def test_softmax_may_take_embeddings_of_one_length_as_rawnet2_does():
    x, label = np.random.default_rng(0).standard_normal((5, 4)), np.arange(5) % 3
    loss = LOSSES.get("softmax")(4, 3, input_length=10.0)
    weight, bias = loss.linear.weight.asnumpy(), loss.linear.bias.asnumpy()
    logits = 10 * x / np.linalg.norm(x, axis=1, keepdims=True) @ weight.T + bias
    with without_compiling():
        value, score = loss(Tensor(x, ms.float32), Tensor(label, ms.int32))
    np.testing.assert_allclose(score.asnumpy(), logits, atol=1e-5)
    expected = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(5), label]
    assert float(value) == pytest.approx(expected.mean(), rel=1e-5)


def hyperbolic(x, weight, label, margin, scale, curvature):
    """Loss and distances of HAM-softmax in double precision."""
    edge = (1 - 1e-5) / np.sqrt(curvature)
    x, y = (values * np.minimum(1, edge / np.linalg.norm(values, axis=1, keepdims=True)) for values in (x, weight))
    squares = np.square(x[:, None] - y).sum(axis=2)
    space = np.maximum(np.outer(1 - np.square(x).sum(axis=1), 1 - np.square(y).sum(axis=1)), 1e-5)
    distance = np.arccosh(1 + 2 * squares / space)
    logits = -scale * (distance + margin * (np.arange(len(y)) == label[:, None]))
    peak = logits.max(axis=1)
    log_sum = np.log(np.exp(logits - peak[:, None]).sum(axis=1)) + peak
    return (log_sum - logits[np.arange(len(x)), label]).mean(), distance


@pytest.mark.parametrize("keys", [{}, {"margin": 0.0, "curvature": 5.0}, {"scale": 10.0, "curvature": 1.0}])
def test_hyperbolic_loss_and_gradient_are_those_of_its_formula(keys):
    rng = np.random.default_rng(0)
    loss = LOSSES.get("ham_softmax")(4, 5, **keys)
    options = {"margin": 0.2, "scale": 30.0, "curvature": 3.0, **keys}
    weight, x, label = 0.3 * rng.standard_normal((5, 4)), rng.standard_normal((6, 4)), np.arange(6) % 5
    x[::2] *= 0.1  # inside the ball, the others on its edge
    loss.weight.set_data(Tensor(weight, ms.float32))
    with without_compiling():
        step = ms.value_and_grad(loss, 0, loss.trainable_params(), has_aux=True)
        (value, score), (of_x, _) = step(Tensor(x, ms.float32), Tensor(label, ms.int32))
    expected, distance = hyperbolic(x, weight, label, **options)
    assert float(value) == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(-score.asnumpy(), distance, rtol=2e-4)
    for index in np.ndindex(2, 4):
        moved = [x.copy(), x.copy()]
        for sign, copy in zip((1, -1), moved, strict=True):
            copy[index] += sign * 1e-5
        up, down = (hyperbolic(copy, weight, label, **options)[0] for copy in moved)
        assert of_x.asnumpy()[index] == pytest.approx((up - down) / 2e-5, rel=1e-2, abs=2e-3)


@pytest.mark.parametrize("name", ["angular_prototypical", "ge2e", "prototypical", "triplet"])
def test_accuracy_of_a_batch_counts_speakers_whose_utterances_are_nearest(name):
    rng = np.random.default_rng(0)
    keys = {"hard_rank": 1} if name == "triplet" else {}
    loss, x = LOSSES.get(name)(8, 3, **keys), np.repeat(rng.standard_normal((4, 8)), 2, axis=0)
    x += 0.01 * rng.standard_normal(x.shape)
    label = Tensor(np.zeros(8), ms.int32)
    with without_compiling():
        value, score = loss(Tensor(x, ms.float32), label)
        assert float(loss.accuracy(score, label)) == 1.0
        worse, score = loss(Tensor(np.roll(x, 1, axis=0), ms.float32), label)  # no pair is of one speaker
        assert float(loss.accuracy(score, label)) < 0.3 and float(worse) > float(value)


def test_centroid_of_ge2e_leaves_the_utterance_out():
    x = np.zeros((4, 3), np.float32)
    x[0, 0] = x[1, 1] = x[2, 2] = x[3, 2] = 1  # the first speaker's two are orthogonal
    with without_compiling():
        _, score = Ge2e(3, 2)(Tensor(x), Tensor([0, 0, 1, 1], ms.int32))
    np.testing.assert_allclose(score.asnumpy(), [[1e-6, 1e-6], [1e-6, 1e-6], [1e-6, 1], [1e-6, 1]], atol=2e-6)


def negatives(loss, distances, updates=0):
    loss.first_draw.set_data(Tensor(loss.schedule(0, updates)["first_draw"], ms.float32))
    with without_compiling():
        chosen = loss.negatives(Tensor(distances, ms.float32)).asnumpy()
    np.testing.assert_array_equal(chosen.sum(axis=1), 1)
    return chosen.argmax(axis=1)


def test_hard_negatives_have_the_drawn_ranks_and_never_are_the_own_positive():
    rng = np.random.default_rng(0)
    distances = rng.random((40, 40))
    rank_of = np.argsort(np.argsort(distances + 10 * np.eye(40), axis=1), axis=1)
    loss = Triplet(4, 9, hard_prob=1.0, hard_rank=3)
    ranks = [rank_of[np.arange(40), negatives(loss, distances, updates)] for updates in range(10)]
    assert set(np.concatenate(ranks).tolist()) == {0, 1, 2, 3}
    assert any((ranks[0] != other).any() for other in ranks[1:])  # drawn anew in each update
    of_all = Triplet(4, 9, hard_prob=0.0)
    ranks = np.concatenate([rank_of[np.arange(40), negatives(of_all, distances, updates)] for updates in range(10)])
    assert ranks.max() <= 38 and len(set(ranks.tolist())) > 30


def test_semi_hard_negatives_are_farther_than_the_positive_by_less_than_the_margin():
    rng = np.random.default_rng(0)
    distances = rng.random((30, 30))
    distances[0] = 0.1 * rng.random(30)
    distances[0, 0] = 3  # every other is nearer: any will do
    loss, own = Triplet(4, 9, margin=0.3, mining="semi_hard"), distances.diagonal()
    for updates in range(5):
        chosen = negatives(loss, distances, updates)
        got = distances[np.arange(30), chosen]
        has_one = ((distances > own[:, None]) & (distances < own[:, None] + 0.3)).any(axis=1)
        assert not has_one[0] and has_one.sum() > 15
        assert ((got > own) & (got < own + 0.3))[has_one].all()
        assert (chosen != np.arange(30)).all()


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("triplet", {"num_utterances": 3}, "num_utterances: expected 2"),
        ("triplet", {"hard_prob": 1.5}, "hard_prob: expected at most 1"),
        ("ge2e", {"num_utterances": 1}, "num_utterances: expected at least 2"),
        ("softmax", {"label_smoothing": 1.0}, "label_smoothing: expected less than 1"),
        ("aam_softmax", {"fallback": "none"}, "fallback: expected one of sine, cosine"),
    ],
)
def test_impossible_options_are_refused(name, wrong, message):
    with pytest.raises(ValueError, match=message):
        LOSSES.get(name)(4, 9, **wrong)
