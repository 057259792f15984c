"""Clustering: known groups, bounds of the number, two levels, and properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindvox.diarization import clustering
from mindvox.diarization.clustering import CLUSTERINGS, Count, cluster, in_order
from mindvox.errors import UsageError


def groups(sizes: list[int], spread: float = 0.1, seed: int = 0, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return shuffled embeddings, those of a group near one axis, and the group of each."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    points = np.eye(size)[truth] + spread * rng.standard_normal((len(truth), size))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), truth


def same(labels: np.ndarray, truth: np.ndarray) -> bool:
    return in_order(labels).tolist() == in_order(truth).tolist()


def run(embeddings, method="agglomerative", count=None, min_cluster_size=1, threshold=0.4):
    if method == "spectral":
        pytest.importorskip("sklearn", reason="the extra diarization is not installed")
    return cluster(embeddings, method, threshold, count, min_cluster_size)


@pytest.mark.parametrize("method", CLUSTERINGS)
@pytest.mark.parametrize("number", [2, 3, 6])
def test_groups_are_found(method, number):
    embeddings, truth = groups([20] * number)
    assert same(run(embeddings, method), truth)


def test_one_speaker_is_one_cluster():
    assert run(groups([30])[0]).max() == 0
    assert run(groups([1])[0]).tolist() == [0]
    assert cluster(np.empty((0, 4), np.float32), "agglomerative", 0.4).tolist() == []


@pytest.mark.parametrize("method", CLUSTERINGS)
def test_number_of_speakers_can_be_given(method):
    embeddings, _ = groups([20, 20, 20])
    for number in (1, 2, 3, 4):
        assert run(embeddings, method, Count(number, number)).max() + 1 == number
    assert run(embeddings, method, Count(1, 2)).max() + 1 == 2
    assert run(embeddings, method, Count(5)).max() + 1 >= 5
    assert run(embeddings[:3], method, Count(8, 9)).max() + 1 == 3  # no more than there are embeddings


def test_small_clusters_go_to_the_most_similar_large_one():
    embeddings, truth = groups([20, 20, 1])
    labels = run(embeddings, min_cluster_size=3)
    assert labels.max() == 1 and same(labels[truth < 2], truth[truth < 2])
    assert run(embeddings, min_cluster_size=3, count=Count(3)).max() == 2


def test_many_embeddings_are_clustered_on_two_levels(monkeypatch):
    monkeypatch.setattr(clustering, "MAX_AT_ONCE", 60)
    monkeypatch.setattr(clustering, "NUM_FINE", 12)
    embeddings, truth = groups([150, 100, 50])
    assert same(run(embeddings), truth)
    assert same(run(embeddings, "spectral"), truth)


def test_equal_embeddings_are_cut_apart_where_it_is_asked_for():
    assert run(np.tile(np.eye(4, dtype=np.float32)[:1], (5, 1)), count=Count(3, 3)).max() == 2


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 8), min_size=1, max_size=5), st.integers(0, 99), st.randoms())
def test_order_of_embeddings_does_not_matter(sizes, seed, random):
    embeddings, _ = groups(sizes, 0.15, seed)
    order = list(range(len(embeddings)))
    random.shuffle(order)
    assert same(run(embeddings[order]), run(embeddings)[order])


@pytest.mark.parametrize("method", CLUSTERINGS)
def test_no_more_speakers_are_found_than_can_be_told_apart(method):
    assert run(np.eye(150, dtype=np.float32), method).max() + 1 <= clustering.MAX_SPEAKERS
    assert np.iinfo(np.int8).max >= clustering.MAX_SPEAKERS  # `assign` keeps labels as int8


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(2, 6), min_size=1, max_size=4), st.integers(0, 99), st.integers(2, 4))
def test_splitting_speech_into_more_embeddings_does_not_matter(sizes, seed, times):
    embeddings, _ = groups(sizes, 0.1, seed)
    split = np.repeat(embeddings, times, axis=0)
    assert same(run(split), np.repeat(run(embeddings), times))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 8), min_size=1, max_size=5), st.integers(0, 99))
def test_turning_the_space_does_not_matter(sizes, seed):
    embeddings, _ = groups(sizes, 0.15, seed)
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((16, 16)))[0]
    assert same(run(embeddings @ turn.astype(np.float32)), run(embeddings))


def test_bounds_and_names_are_checked():
    for least, most in ((0, None), (3, 2), (1, 101)):
        with pytest.raises(UsageError, match="number of speakers: expected 1 <= min <= max"):
            Count(least, most)
    with pytest.raises(UsageError, match="clustering: expected one of agglomerative, spectral, got 'k'"):
        cluster(np.eye(3, dtype=np.float32), "k", 0.4)
