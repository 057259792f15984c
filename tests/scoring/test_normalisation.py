import numpy as np
import pytest

from mindvox.errors import InputError
from mindvox.scoring import normalisation
from mindvox.scoring.normalisation import (
    CohortStatistics,
    cohort_statistics,
    cosine_scores,
    crop_distance_scores,
    mean_embedding,
    normalise,
    speaker_means,
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
    monkeypatch.setattr(normalisation, "TILE_COLUMNS", 7)
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


def plain_statistics(rows, cohort, top_n):
    """Mean and deviation of each row's best cosines: one row after the other, sorted, in double precision."""
    best = [np.sort(row @ cohort.astype(np.float64).T)[-top_n:] for row in rows.astype(np.float64)]
    return np.mean(best, axis=1), np.std(best, axis=1)


def cohort_of(kind, rng, num_rows):
    speakers = rng.normal(size=(40, 16)) + 0.5
    near = np.repeat(speakers, num_rows // 40, axis=0) + 0.3 * rng.normal(size=(num_rows, 16))
    return {
        "by speaker": near,
        "shuffled": rng.permutation(near),
        "all tied in threes": np.repeat(near[: num_rows // 3], 3, axis=0)[rng.permutation(num_rows // 3 * 3)],
        "few directions": speakers[rng.integers(0, 40, num_rows)],
    }[kind]


@pytest.mark.parametrize("kind", ["by speaker", "shuffled", "all tied in threes", "few directions"])
@pytest.mark.parametrize("top_n", [2, 60, 1500, 5998])
def test_adaptive_statistics_equal_a_plain_loop(kind, top_n):
    rng = np.random.default_rng(top_n)
    cohort = unit_length(cohort_of(kind, rng, 6000), ["c"] * 6000)
    rows = unit_length(rng.normal(size=(550, 16)) + 0.5, ["u"] * 550)  # more than a block of them
    mean, variance = normalisation._moments_of_best(rows, cohort, top_n)  # tied scores have no spread to divide by
    np.testing.assert_allclose((mean, np.sqrt(variance)), plain_statistics(rows, cohort, top_n), atol=2e-7)


def test_as_norm_scores_equal_a_plain_loop():
    rng = np.random.default_rng(0)
    cohort = unit_length(rng.normal(size=(3000, 32)) + 0.5, ["c"] * 3000)
    rows = unit_length(rng.normal(size=(50, 32)) + 0.5, ["u"] * 50)
    enrol, test = rng.integers(0, 50, (2, 400))
    mean, std = plain_statistics(rows, cohort, 300)
    score = np.einsum("td,td->t", rows[enrol].astype(np.float64), rows[test].astype(np.float64))
    expected = 0.5 * ((score - mean[enrol]) / std[enrol] + (score - mean[test]) / std[test])
    statistics = cohort_statistics(rows, cohort, ["u"] * 50, 300)
    scores = normalise(cosine_scores(rows, enrol, test), enrol, test, statistics, "s-norm")
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize("bound", [np.inf, 0.9, -np.inf])
def test_rows_whose_bound_was_too_high_are_done_again(monkeypatch, bound):
    rng = np.random.default_rng(1)
    cohort = unit_length(rng.normal(size=(4000, 16)), ["c"] * 4000)
    rows = unit_length(rng.normal(size=(30, 16)), ["u"] * 30)
    monkeypatch.setattr(
        normalisation, "_lower_bounds", lambda sampled, share: np.full(len(sampled), bound, dtype=np.float32)
    )
    statistics = cohort_statistics(rows, cohort, ["u"] * 30, 200)
    np.testing.assert_allclose(statistics, plain_statistics(rows, cohort, 200), atol=2e-7)


def test_statistics_over_the_whole_cohort_need_no_products_and_are_the_same():
    cohort, rows = unit_rows(0, 500), unit_rows(1, 20)
    statistics = cohort_statistics(rows, cohort, ["u"] * 20, 500)
    np.testing.assert_allclose(statistics, plain_statistics(rows, cohort, 500), atol=1e-7)
    almost_all = cohort_statistics(rows, cohort, ["u"] * 20, 499)
    np.testing.assert_allclose(almost_all, plain_statistics(rows, cohort, 499), atol=2e-7)


def test_statistics_are_the_same_bit_for_bit_in_every_run():
    cohort, rows = unit_rows(0, 5000), unit_rows(1, 1500)
    first, second = (cohort_statistics(rows, cohort, ["u"] * 1500, 100) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_speaker_means_are_of_the_embeddings_as_they_are(monkeypatch):
    embeddings = np.array([[1, 0], [0, 4], [3, 2], [8, 8], [2, 1]], np.float32)
    for block_bytes in (1, normalisation.BLOCK_BYTES):
        monkeypatch.setattr(normalisation, "BLOCK_BYTES", block_bytes)
        speakers, means = speaker_means(embeddings, ["b", "a", "b", "c", "b"])
        assert speakers == ["a", "b", "c"]
        np.testing.assert_allclose(means, [[0, 4], [2, 1], [8, 8]])
        assert means.dtype == np.float32


def test_crop_distance_is_the_mean_over_all_pairs_of_crops():
    crops = unit_rows(0, 20).reshape(5, 4, 16)
    scores = crop_distance_scores(crops, ENROL, TEST)
    expected = [
        -np.mean([np.linalg.norm(a - b) for a in crops[enrol] for b in crops[test]])
        for enrol, test in zip(ENROL, TEST, strict=True)
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_crops_of_one_direction_have_no_distance():
    crops = np.repeat(unit_rows(0, 1), 3, axis=0).reshape(1, 3, 16)
    assert crop_distance_scores(crops, np.array([0]), np.array([0])) == pytest.approx(0, abs=1e-7)
