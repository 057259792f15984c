"""Turns of the whole recording from the windows' speakers and what cluster each belongs to (Bredin 2023)."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from mindvox.diarization.embedding import LocalSpeakers
from mindvox.diarization.frames import Windows, time_of
from mindvox.diarization.turns import Turn, joined

NOBODY = -1


def centroids_of(local: LocalSpeakers, chosen: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean embedding of each cluster (K, D), of length 1.

    Args:
        chosen: which of the local speakers were clustered.
        labels: their clusters, 0 to K - 1.
    """
    sums = np.zeros((labels.max() + 1, local.embeddings.shape[1]))
    np.add.at(sums, labels, local.embeddings[chosen])
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def assign(windows: Windows, local: LocalSpeakers, centroids: np.ndarray) -> np.ndarray:
    """Return the cluster of each window's speakers (W, S), NOBODY where there is none.

    Speakers of one window get different clusters, such that the sum of cosines is greatest; what is left where a window
    has more speakers than there are clusters goes to the most similar one.
    """
    assigned = np.full((len(windows.activity), windows.activity.shape[2]), NOBODY)
    similarity = local.embeddings @ centroids.T
    bounds = np.flatnonzero(np.diff(local.windows, prepend=-1, append=-1))
    for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
        own = similarity[start:stop]
        found = own.argmax(axis=1)
        rows, columns = linear_sum_assignment(own, maximize=True)
        found[rows] = columns
        assigned[local.windows[start], local.speakers[start:stop]] = found
    return assigned


def turns_of(windows: Windows, assigned: np.ndarray, counts: np.ndarray, num_clusters: int) -> list[Turn]:
    """Return turns whose speakers are numbers of clusters.

    In each frame as many speakers talk as the windows count on average: those who most windows say talk there.

    Args:
        assigned: see `assign`.
        counts: speakers who talk in each frame, see `Windows.counts`.
    """
    votes = np.zeros((windows.num_frames, num_clusters), np.float32)
    for first, activity, own in zip(windows.first_frames, windows.activity, assigned, strict=True):
        kept = activity[: windows.num_frames - first]
        for number in np.unique(own[own != NOBODY]):
            votes[first : first + len(kept), number] += kept[:, own == number].any(axis=1)
    ranks = np.argsort(np.argsort(-votes, axis=1, kind="stable"), axis=1, kind="stable")
    active = (ranks < counts[:, None]) & (votes > 0)
    return [turn for number in range(num_clusters) for turn in runs(active[:, number], str(number))]


def runs(active: np.ndarray, speaker: str) -> list[Turn]:
    """Return a turn for each run of active frames, bool (num_frames,)."""
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
    return [Turn(time_of(first), time_of(last), speaker) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def tidied(turns: list[Turn], min_pause_s: float, min_turn_s: float) -> list[Turn]:
    """Fill pauses of one speaker that are shorter than `min_pause_s`, then drop turns shorter than `min_turn_s`."""
    return [turn for turn in joined(turns, min_pause_s) if turn.end_s - turn.start_s >= min_turn_s]
