from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from mindvox.errors import InputError
from mindvox.scoring.two_covariance import (
    Scorer,
    TwoCovariance,
    discriminant_directions,
    speaker_statistics,
    whitening_matrix,
)

REFERENCE = Path(__file__).parent / "reference" / "plda.npz"  # SpeechBrain 1.1.2, see make_plda_reference.py


def covariance(rng, size, least=0.2):
    root = rng.normal(size=(size, size))
    return root @ root.T / size + least * np.eye(size)


def draw(model, counts, seed):
    """Embeddings of len(counts) speakers by the model, and their speakers' names."""
    rng = np.random.default_rng(seed)
    speaker = np.repeat(np.arange(len(counts)), counts)
    speakers = rng.multivariate_normal(model.mean, model.between, len(counts))
    noise = rng.multivariate_normal(np.zeros(len(model.mean)), model.within, len(speaker))
    return speakers[speaker] + noise, [f"s{number}" for number in speaker]


@pytest.fixture
def model():
    rng = np.random.default_rng(3)
    return TwoCovariance(rng.normal(size=4), covariance(rng, 4), covariance(rng, 4))


def joint_density(model, count):
    """The normal distribution of `count` utterances of one speaker, one after another in a vector."""
    ones, eye = np.ones((count, count)), np.eye(count)
    return multivariate_normal(np.tile(model.mean, count), np.kron(ones, model.between) + np.kron(eye, model.within))


@pytest.mark.parametrize("num_enrol", [1, 2, 5])
def test_score_is_the_log_likelihood_ratio_of_joint_normal_densities(model, num_enrol):
    embeddings, _ = draw(model, [num_enrol, 1], seed=0)
    enrol, test = embeddings[:-1], embeddings[-1]
    same = joint_density(model, num_enrol + 1).logpdf(embeddings.ravel())
    different = joint_density(model, num_enrol).logpdf(enrol.ravel()) + joint_density(model, 1).logpdf(test)
    scorer = Scorer(model)
    sums, tests = scorer.project(enrol).sum(axis=0, keepdims=True), scorer.project(test[None])
    assert scorer.score(sums, np.array([num_enrol]), tests) == pytest.approx(same - different, abs=1e-10)


def test_score_of_one_against_one_does_not_depend_on_the_order(model):
    embeddings, _ = draw(model, [1, 1], seed=0)
    scorer = Scorer(model)
    a, b = scorer.project(embeddings)[:, None]
    assert scorer.score(a, np.array([1]), b) == pytest.approx(scorer.score(b, np.array([1]), a), abs=1e-12)


def test_log_likelihood_is_that_of_joint_normal_densities(model):
    counts = [1, 4, 2]
    embeddings, spk_ids = draw(model, counts, seed=1)
    parts = np.split(embeddings, np.cumsum(counts)[:-1])
    expected = sum(joint_density(model, len(part)).logpdf(part.ravel()) for part in parts) / sum(counts)
    assert model.log_likelihood(speaker_statistics(embeddings, spk_ids)) == pytest.approx(expected, abs=1e-10)


def test_fit_recovers_the_model_that_drew_the_embeddings(model):
    counts = np.random.default_rng(0).integers(1, 12, 6000)
    fitted, _ = TwoCovariance.fit(*draw(model, counts, seed=2))
    # The error of a covariance estimated from n draws is about sqrt(2 / n): 0.02 for 6,000 speakers, 0.008 for 36,000.
    np.testing.assert_allclose(fitted.between, model.between, atol=0.06 * np.abs(model.between).max())
    np.testing.assert_allclose(fitted.within, model.within, atol=0.02 * np.abs(model.within).max())
    np.testing.assert_allclose(fitted.mean, model.mean, atol=0.06)


def test_fit_raises_the_likelihood_in_every_iteration_above_that_of_the_truth(model):
    embeddings, spk_ids = draw(model, np.random.default_rng(0).integers(1, 6, 200), seed=3)
    _, log_likelihoods = TwoCovariance.fit(embeddings, spk_ids)
    assert len(log_likelihoods) > 3
    assert (np.diff(log_likelihoods) > -1e-12).all()
    assert log_likelihoods[-1] > model.log_likelihood(speaker_statistics(embeddings, spk_ids))


def test_fit_has_the_likelihood_of_speechbrains():
    stored = np.load(REFERENCE)
    spk_ids = [str(speaker) for speaker in stored["speakers"]]
    fitted, _ = TwoCovariance.fit(stored["embeddings"], spk_ids)
    # Both are converged and in double precision: equal counts, and speakers that differ in every direction.
    np.testing.assert_allclose(fitted.between, stored["factors"] @ stored["factors"].T, atol=1e-10)
    np.testing.assert_allclose(fitted.within, stored["residual"], atol=1e-10)
    np.testing.assert_allclose(fitted.mean, stored["mean"], atol=1e-10)


def test_scores_equal_speechbrains():
    stored = np.load(REFERENCE)
    model = TwoCovariance(stored["mean"], stored["factors"] @ stored["factors"].T, stored["residual"])
    scorer = Scorer(model)
    enrol, test = (index.ravel() for index in np.indices(stored["scores"].shape))
    ones = np.ones(len(stored["enrol"]), dtype=int)
    found = scorer.score_trials(scorer.project(stored["enrol"]), ones, scorer.project(stored["test"]), enrol, test)
    # SpeechBrain sums terms of some 10,000 that nearly cancel: 1e-13 of them.
    np.testing.assert_allclose(found, stored["scores"].ravel(), atol=1e-9)
    assert (stored["scores"] > 0).any()
    assert (stored["scores"] < 0).any()


def test_score_trials_in_blocks_equals_all_at_once(model, monkeypatch):
    embeddings, _ = draw(model, [7], seed=5)
    scorer = Scorer(model)
    rows, counts = scorer.project(embeddings), np.arange(1, 8)
    enrol, test = np.indices((7, 7)).reshape(2, -1)
    expected = scorer.score(rows[enrol], counts[enrol], rows[test])
    monkeypatch.setattr("mindvox.scoring.two_covariance.BLOCK_BYTES", 5 * 8 * 4)
    np.testing.assert_array_equal(scorer.score_trials(rows, counts, rows, enrol, test), expected)


def test_discriminant_directions_find_where_speakers_differ():
    rng = np.random.default_rng(0)
    speakers = np.zeros((50, 6))
    speakers[:, [1, 4]] = rng.normal(scale=[1, 10], size=(50, 2))
    spk_ids = np.repeat([f"s{speaker}" for speaker in range(50)], 20)
    embeddings = np.repeat(speakers, 20, axis=0) + rng.normal(size=(1000, 6)) * [1, 1, 30, 1, 3, 1]
    directions = discriminant_directions(speaker_statistics(embeddings, spk_ids), 2)
    projected = speaker_statistics(embeddings @ directions, spk_ids)
    np.testing.assert_allclose(projected.scatter / (1000 - 50), np.eye(2), atol=1e-10)
    strongest = np.argmax(np.abs(directions) * embeddings.std(axis=0)[:, None], axis=0)
    assert strongest.tolist() == [4, 1]  # ratios 10 / 3 and 1 / 1


def test_whitening_makes_the_covariance_the_identity(model):
    rows, spk_ids = draw(model, [3, 50, 8], seed=0)
    statistics = speaker_statistics(rows, spk_ids)
    np.testing.assert_allclose(statistics.overall_mean(), rows.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(statistics.covariance(), np.cov(rows.T, ddof=0), atol=1e-12)
    np.testing.assert_allclose(
        np.cov((rows @ whitening_matrix(statistics.covariance())).T, ddof=0), np.eye(4), atol=1e-12
    )


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([1] * 30, "differ within speakers in 0 of 4"),
        ([2, 2, 1], "in 2 of 4 dimensions"),
        ([40], "at least 2 speakers"),
    ],
)
def test_fit_says_what_is_missing(model, counts, message):
    with pytest.raises(InputError, match=message):
        TwoCovariance.fit(*draw(model, counts, seed=0))


@pytest.mark.parametrize("size", [0, 3, 5])
def test_lda_dimension_out_of_range_is_refused(model, size):
    statistics = speaker_statistics(*draw(model, [20, 20, 20], seed=0))
    with pytest.raises(InputError, match="--lda_dim: expected 1 to 2"):
        discriminant_directions(statistics, size)


def test_whitening_refuses_a_missing_dimension():
    with pytest.raises(InputError, match="cover 1 of 3 dimensions"):
        whitening_matrix(np.outer([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]))
