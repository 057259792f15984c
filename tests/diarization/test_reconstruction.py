"""The assignment of clusters to the frames of windows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindvox.diarization import reconstruction
from mindvox.diarization.embedding import Voices
from mindvox.diarization.frames import Windows, runs_of, time_of
from mindvox.diarization.reconstruction import NOBODY, assign, clusterable, turns_of, with_second
from mindvox.diarization.turns import Turn

CLUSTERS = np.eye(3, 4)


def voices(*rows: tuple[int, int, int, int, int, float]) -> Voices:
    """Return voices of (window, speaker, start, stop, cluster, s alone)."""
    windows, speakers, starts, stops, clusters, alone_s = (np.array(column) for column in zip(*rows, strict=True))
    return Voices(windows, speakers, starts, stops, CLUSTERS[clusters].astype(np.float32), alone_s)


def test_stretches_take_the_speech_around_them_along():
    activity = np.zeros((1, 20, 2), bool)
    activity[0, 2:12, 0] = activity[0, 15:18, 0] = activity[0, 6:9, 1] = True
    windows = Windows(np.array([0]), activity, 20)
    # Speaker 0 is alone in 2-6 and 9-12, which are two people; 15-18 is too short for an embedding.
    labels = assign(windows, voices((0, 0, 2, 6, 0, 2.0), (0, 0, 9, 12, 1, 1.0), (0, 1, 0, 0, 2, 0.0)), CLUSTERS)
    expected = [NOBODY] * 2 + [0] * 5 + [1] * 5 + [NOBODY] * 3 + [0] * 3 + [NOBODY] * 2
    assert labels[0, :, 0].tolist() == expected  # cut in the middle of 6-9; 15-18 goes where most of the speaker goes
    assert np.flatnonzero(labels[0, :, 1] == 2).tolist() == [6, 7, 8]


def test_stretches_that_are_too_short_make_clusters_together():
    rows = voices(
        (0, 0, 2, 6, 0, 2.0), (0, 0, 9, 12, 1, 0.6), (0, 1, 0, 3, 2, 0.7), (0, 1, 5, 8, 1, 0.7), (1, 0, 0, 5, 1, 0.9)
    )
    found = clusterable(rows, 1.0)
    expected = [
        [1, 0, 0, 0],
        [0, 0.5**0.5, 0.5**0.5, 0],
    ]  # the second speaker's mean
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert clusterable(rows, 3.0).shape == (0, 4)


def test_second_speaker_is_who_is_least_like_the_first():
    rows = voices((0, 0, 2, 6, 0, 2.0), (0, 1, 0, 0, 1, 0.0), (0, 2, 0, 0, 2, 0.0))
    rows.embeddings[2] = [0.6, 0, 0.8, 0]
    assert with_second(CLUSTERS[:1], rows).tolist() == CLUSTERS[:2].tolist()


def test_who_talk_at_once_are_different_people():
    activity = np.zeros((1, 20, 2), bool)
    activity[0, 2:10, 0] = activity[0, 8:18, 1] = True  # both in 8-10
    alike = voices((0, 0, 2, 8, 0, 2.0), (0, 1, 10, 18, 0, 2.0))  # two stretches of one cluster
    alike.embeddings[1] = [0.8, 0.6, 0, 0]  # the second is more like another one
    labels = assign(Windows(np.array([0]), activity, 20), alike, CLUSTERS)[0]
    assert set(labels[2:10, 0].tolist()) == {0} and set(labels[10:18, 1].tolist()) == {0}
    assert labels[8:10, 1].tolist() == [1, 1]  # where they talk at once, the less similar one is somebody else
    assert len(turns_of(Windows(np.array([0]), activity, 20), labels[None], activity[0].sum(axis=1), 3)) == 2
    alone = assign(Windows(np.array([0]), activity, 20), alike, CLUSTERS[:1])[0]
    assert set(alone[alone != NOBODY].tolist()) == {0}  # nobody else is there


def test_speakers_of_a_window_without_stretches_get_different_clusters():
    activity = np.ones((1, 5, 3), bool)
    both = np.array([[0.9, 0.5, 0.0, 0.0], [0.8, 0.1, 0.0, 0.0], [0.7, 0.0, 0.1, 0.0]], np.float32)
    none = np.zeros(3, int)
    found = Voices(none, np.arange(3), none, none, both, np.zeros(3))
    labels = assign(Windows(np.array([0]), activity, 5), found, CLUSTERS)[0, 0]
    assert sorted(labels.tolist()) == [0, 1, 2] and labels[0] == 1 and labels[2] == 2
    two = assign(Windows(np.array([0]), activity, 5), found, CLUSTERS[:2])[0, 0]
    assert two.tolist() == [1, 0, 0]  # more speakers than clusters: the third goes to the most similar one


@pytest.mark.parametrize("part", [3, 100])
def test_windows_vote_for_who_talks(monkeypatch, part):
    monkeypatch.setattr(reconstruction, "PART_FRAMES", part)
    assigned = np.full((3, 8, 2), NOBODY, np.int8)
    assigned[0, :, 0], assigned[1, :, 0], assigned[2, :, 0] = 0, 1, 1
    windows = Windows(np.array([0, 0, 4]), assigned != NOBODY, 12)
    assert turns_of(windows, assigned, np.array([1] * 11 + [0]), 2) == [
        Turn(time_of(0), time_of(4), "0"),  # as many votes: the first
        Turn(time_of(4), time_of(11), "1"),
    ]


def drawn(seed: int) -> tuple[Windows, Voices]:
    """Return two windows of three speakers, who talk in blocks of five frames, and their voices."""
    rng = np.random.default_rng(seed)
    activity = np.repeat(rng.random((2, 8, 3)) < 0.4, 5, axis=1)
    alone = activity & (activity.sum(axis=2, keepdims=True) == 1)
    rows: list[tuple] = []
    for window, speaker in zip(*np.nonzero(activity.any(axis=1)), strict=True):
        runs = runs_of(alone[window, :, speaker]) or [(0, 0)]
        rows += [(window, speaker, start, stop, 0, 0.1 * (stop - start)) for start, stop in runs]
    found = voices(*rows)
    embeddings = rng.standard_normal(found.embeddings.shape)
    return Windows(np.array([0, 20]), activity, 60), found._replace(
        embeddings=(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    )


SEEDS = st.integers(0, 10_000)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.permutations(range(3)), st.permutations(range(3)))
def test_order_of_clusters_and_of_a_windows_speakers_does_not_matter(seed, clusters, speakers):
    windows, found = drawn(seed)
    labels = assign(windows, found, CLUSTERS)
    renumbered = assign(windows, found, CLUSTERS[clusters])
    assert np.array_equal(np.where(renumbered == NOBODY, NOBODY, np.array(clusters)[renumbered]), labels)
    moved = found._replace(speakers=np.argsort(speakers)[found.speakers])
    order = np.lexsort((moved.starts, moved.speakers, moved.windows))
    swapped = Windows(windows.first_frames, windows.activity[:, :, speakers], windows.num_frames)
    assert np.array_equal(
        assign(swapped, Voices(*(column[order] for column in moved)), CLUSTERS), labels[:, :, speakers]
    )


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_as_many_talk_as_the_window_says_and_nobody_twice(seed):
    windows, found = drawn(seed)
    labels = assign(windows, found, CLUSTERS)
    assert np.array_equal(labels != NOBODY, windows.activity)
    for frame in labels.reshape(-1, 3):
        talking = frame[frame != NOBODY]
        assert len(set(talking.tolist())) == len(talking)  # three clusters are enough for three speakers


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 50))
def test_time_shift_does_not_matter(seed, shift):
    windows, found = drawn(seed)
    later = Windows(windows.first_frames + shift, windows.activity, windows.num_frames + shift)
    labels = assign(windows, found, CLUSTERS)
    turns, moved = (turns_of(each, labels, each.counts(), 3) for each in (windows, later))
    assert [(turn.start_s, turn.end_s, turn.speaker) for turn in moved] == [
        (
            pytest.approx(turn.start_s + time_of(shift) - time_of(0)),
            pytest.approx(turn.end_s + time_of(shift) - time_of(0)),
            turn.speaker,
        )
        for turn in turns
    ]
