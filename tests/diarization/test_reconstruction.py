"""Which cluster each frame of a window goes to."""

import numpy as np
import pytest

from mindvox.diarization import reconstruction
from mindvox.diarization.embedding import Voices
from mindvox.diarization.frames import Windows, time_of
from mindvox.diarization.reconstruction import NOBODY, assign, turns_of
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
