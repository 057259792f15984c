import numpy as np
import pytest

from src.errors import InputError
from src.scoring import normalisation
from src.scoring.normalisation import (
    CohortStatistics,
    cohort_statistics,
    cosine_scores,
    mean_embedding,
    normalise,
    unit_length,
)

ENROL = np.array([0, 0, 3, 2, 4])
TEST = np.array([1, 2, 4, 3, 0])


def random_embeddings(seed, num_rows, size=16):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(num_rows, size)) + 1).astype(np.float32)


def unit_rows(seed, num_rows, size=16):
    return unit_length(random_embeddings(seed, num_rows, size), [f"u{row}" for row in range(num_rows)])


def cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return a @ b / np.sqrt((a @ a) * (b @ b))


def speechbrain_scores(embeddings, cohort, score_norm, top_n):
    """Trial by trial, as SpeechBrain's speaker_verification_cosine.py does: torch.topk and (unbiased) torch.std."""
    scores = []
    for enrol, test in zip(ENROL, TEST, strict=True):
        score = cosine(embeddings[enrol], embeddings[test])
        of_enrol = np.sort([cosine(embeddings[enrol], other) for other in cohort])[::-1][:top_n]
        of_test = np.sort([cosine(embeddings[test], other) for other in cohort])[::-1][:top_n]
        by_enrol = (score - np.mean(of_enrol)) / np.std(of_enrol, ddof=1)
        by_test = (score - np.mean(of_test)) / np.std(of_test, ddof=1)
        scores.append({"z-norm": by_enrol, "t-norm": by_test, "s-norm": 0.5 * (by_enrol + by_test)}[score_norm])
    return np.array(scores)


def test_cosine_scores_equal_pair_by_pair():
    embeddings = random_embeddings(0, 5)
    expected = [cosine(embeddings[enrol], embeddings[test]) for enrol, test in zip(ENROL, TEST, strict=True)]
    rows = unit_length(embeddings, list("abcde"))
    np.testing.assert_allclose(cosine_scores(rows, ENROL, TEST), expected, atol=1e-6)


def test_unit_length_subtracts_the_mean_first():
    rows = unit_length(np.array([[4.0, 5.0], [1.0, 3.0]], np.float32), ["a", "b"], mean=np.array([1.0, 1.0]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0.0, 1.0]], atol=1e-7)


def test_unit_length_leaves_its_input_alone():
    embeddings = random_embeddings(1, 3)
    before = embeddings.copy()
    unit_length(embeddings, list("abc"), mean_embedding(embeddings))
    np.testing.assert_array_equal(embeddings, before)


def test_an_embedding_without_direction_is_named():
    with pytest.raises(InputError, match="b: a zero embedding"):
        unit_length(np.array([[1, 0], [0, 0]], np.float32), ["a", "b"])
    with pytest.raises(InputError, match="a: an embedding equal to the mean"):
        unit_length(np.array([[1, 0], [0, 0]], np.float32), ["a", "b"], mean=np.array([1.0, 0.0]))


@pytest.mark.parametrize("score_norm", ["z-norm", "t-norm", "s-norm"])
@pytest.mark.parametrize("top_n", [2, 10, 40, 1000])
def test_norms_equal_speechbrains_loop(score_norm, top_n):
    embeddings, cohort = random_embeddings(0, 5), random_embeddings(1, 40)
    utt_ids = list("abcde")
    rows = unit_length(embeddings, utt_ids)
    statistics = cohort_statistics(rows, unit_length(cohort, ["c"] * 40), utt_ids, top_n, "unbiased")
    scores = normalise(cosine_scores(rows, ENROL, TEST), ENROL, TEST, statistics, score_norm)
    np.testing.assert_allclose(scores, speechbrain_scores(embeddings, cohort, score_norm, top_n), rtol=1e-4, atol=1e-5)


def test_statistics_are_of_the_best_scores_with_population_deviation():
    rows = np.array([[1.0, 0.0]], np.float32)
    cohort = np.array([[0.6, 0.8], [-1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], np.float32)  # cosines 0.6, -1, 0.8, 0
    statistics = cohort_statistics(rows, cohort, ["a"], 2)
    np.testing.assert_allclose(statistics, [[0.7], [0.1]], atol=1e-6)
    unbiased = cohort_statistics(rows, cohort, ["a"], 2, "unbiased")
    np.testing.assert_allclose(unbiased, [[0.7], [0.1 * np.sqrt(2)]], atol=1e-6)


@pytest.mark.parametrize(("score_norm", "expected"), [("z-norm", 1.0), ("t-norm", 3.0), ("s-norm", 2.0)])
def test_normalise_takes_the_side_that_the_norm_names(score_norm, expected):
    statistics = CohortStatistics(np.array([0.1, 0.3]), np.array([0.5, 0.1]))
    scores = normalise(np.array([0.6]), np.array([0]), np.array([1]), statistics, score_norm)
    assert scores == pytest.approx(expected)


def test_results_do_not_depend_on_the_size_of_blocks(monkeypatch):
    rows, cohort = unit_rows(0, 7), unit_rows(1, 30)
    enrol, test = np.arange(7), np.arange(7)[::-1]
    whole = cosine_scores(rows, enrol, test), *cohort_statistics(rows, cohort, list("abcdefg"), 8)
    monkeypatch.setattr(normalisation, "BLOCK_BYTES", 1)
    small = cosine_scores(rows, enrol, test), *cohort_statistics(rows, cohort, list("abcdefg"), 8)
    for expected, got in zip(whole, small, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_cohort_without_spread_is_refused():
    louder = np.arange(1, 11)[:, None].astype(np.float32)
    cohort = unit_length(random_embeddings(1, 1) * louder, ["c"] * 10)  # one direction, but for float32 rounding
    assert len(np.unique(cohort, axis=0)) > 1
    with pytest.raises(InputError, match="a: its 10 best cohort scores are all equal"):
        cohort_statistics(unit_rows(0, 1), cohort, ["a"], 20)


def test_a_single_cohort_score_is_refused():
    with pytest.raises(InputError, match="at least 2 cohort scores, got 1"):
        cohort_statistics(unit_rows(0, 1), unit_rows(1, 1), ["a"], 20, "unbiased")
