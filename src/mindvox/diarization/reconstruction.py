"""Build the turns of the whole recording from the windows' speakers and their clusters (Bredin 2023)."""

from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from mindvox.diarization.embedding import Voices
from mindvox.diarization.frames import Windows, runs_of, time_of
from mindvox.diarization.turns import Turn, joined

NOBODY = -1
PART_FRAMES = 100_000  # frames whose votes are counted at once, 28 minutes


def centroids_of(embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean embedding of each cluster (K, D), of length 1.

    Args:
        embeddings: the clustered embeddings, (E, D).
        labels: their clusters, 0 to K - 1.
    """
    return _means(embeddings, labels, np.ones(len(labels)))


def clusterable(voices: Voices, least_s: float) -> np.ndarray:
    """Return the embeddings (E, D) to be clustered: those of at least `least_s` of speech without overlap.

    If a speaker of a window reaches `least_s` only with several stretches together, the mean of their embeddings is
    used.
    """
    long = voices.alone_s >= least_s
    _, own = np.unique(np.stack([voices.windows, voices.speakers]), axis=1, return_inverse=True)
    together = (np.bincount(own, voices.alone_s) >= least_s) & (np.bincount(own, long) == 0)
    means = _means(voices.embeddings, own, voices.alone_s)
    return np.concatenate([voices.embeddings[long], means[together].astype(np.float32)])


def with_second(centroids: np.ndarray, voices: Voices) -> np.ndarray:
    """Return the only centroid (1, D) together with the embedding that is least similar to it, (2, D)."""
    least_alike = int((voices.embeddings @ centroids[0]).argmin())
    return np.stack([centroids[0], voices.embeddings[least_alike]])


def assign(windows: Windows, voices: Voices, centroids: np.ndarray) -> np.ndarray:
    """Return the cluster of each speaker of a window in each frame (W, T, S), or NOBODY.

    A stretch gets the most similar cluster. So does the speech around it, up to a pause or to the middle between two
    stretches. Other speech gets the cluster of its speaker: the speakers of a window get different clusters, with the
    largest sum of cosines. Speakers who talk at once and would get the same cluster also get different ones in this
    way. If there are more speakers than clusters, the remaining speakers get the most similar cluster.
    """
    assigned = np.full(windows.activity.shape, NOBODY, np.int8)  # there are at most MAX_SPEAKERS
    bounds = np.flatnonzero(np.diff(voices.windows, prepend=-1, append=-1))
    for first, last in zip(bounds[:-1], bounds[1:], strict=True):
        window = voices.windows[first]
        own = Voices(*(column[first:last] for column in voices))
        speakers, places = np.unique(own.speakers, return_inverse=True)
        means = _means(own.embeddings, places, np.maximum(own.alone_s, 1e-3))
        heard = _heard(windows.activity[window], own, speakers)
        similarity = np.concatenate([own.embeddings, means]) @ centroids.T
        clusters = np.concatenate([similarity[: len(places)].argmax(axis=1), _different(similarity[len(places) :])])
        labels = np.where(heard == NOBODY, NOBODY, clusters[heard])
        for together in np.unique(heard[(heard != NOBODY).sum(axis=1) > 1], axis=0):
            talking = np.flatnonzero(together != NOBODY)
            if len(set(clusters[together[talking]])) < len(talking):
                frames = np.flatnonzero((heard == together).all(axis=1))
                labels[np.ix_(frames, talking)] = _different(similarity[together[talking]])
        assigned[window] = labels
    return assigned


def _heard(activity: np.ndarray, voices: Voices, speakers: np.ndarray) -> np.ndarray:
    """Return which embedding decides on each speaker of a window in each frame (T, S), or NOBODY.

    The indices count first the `voices` of the window, then the means of its `speakers`.
    """
    heard = np.full(activity.shape, NOBODY)
    for place, speaker in enumerate(speakers):
        found, active = heard[:, speaker], activity[:, speaker]  # `found` is a view
        found[active] = len(voices.windows) + place
        stretches = np.flatnonzero((voices.speakers == speaker) & (voices.stops > 0))
        for start, stop in runs_of(active) if len(stretches) else ():
            inside = [row for row in stretches if start <= voices.starts[row] < stop]
            middles = ((voices.stops[row] + voices.starts[next_]) // 2 for row, next_ in pairwise(inside))
            for row, begin in zip(inside, (start, *middles), strict=False):  # `inside` may be empty
                found[begin:stop] = row
    return heard


def _different(similarity: np.ndarray) -> np.ndarray:
    """Return a different cluster for each speaker of a window, given cosines (S, K); see `assign`."""
    found = similarity.argmax(axis=1)
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    found[rows] = columns
    return found


def _means(embeddings: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    sums = np.zeros((labels.max() + 1, embeddings.shape[1]))
    np.add.at(sums, labels, embeddings * weights[:, None])
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def turns_of(windows: Windows, assigned: np.ndarray, counts: np.ndarray, num_clusters: int) -> list[Turn]:
    """Return turns with the cluster numbers as speakers.

    Each frame has as many speakers as the windows have on average: those with the most votes of windows.

    Args:
        assigned: see `assign`.
        counts: number of speakers in each frame, see `Windows.counts`.
    """
    votes = np.zeros((windows.num_frames, num_clusters), np.uint8)  # at most 100 windows per frame: 10 s, every 0.1 s
    for first, own in zip(windows.first_frames, assigned, strict=True):
        kept = own[: windows.num_frames - first]
        for number in np.unique(kept[kept != NOBODY]):
            votes[first : first + len(kept), number] += (kept == number).any(axis=1)
    active = np.zeros(votes.shape, bool)
    for start in range(0, len(votes), PART_FRAMES):
        part = votes[start : start + PART_FRAMES]
        order = np.argsort(-part.astype(np.int16), axis=1, kind="stable")
        ranks = np.argsort(order, axis=1, kind="stable")
        active[start : start + PART_FRAMES] = (ranks < counts[start : start + PART_FRAMES, None]) & (part > 0)
    return [
        Turn(time_of(start), time_of(stop), str(number))
        for number in range(num_clusters)
        for start, stop in runs_of(active[:, number])
    ]


def tidied(turns: list[Turn], min_pause_s: float, min_turn_s: float) -> list[Turn]:
    """Fill pauses of one speaker that are shorter than `min_pause_s`, then drop turns shorter than `min_turn_s`."""
    return [turn for turn in joined(turns, min_pause_s) if turn.end_s - turn.start_s >= min_turn_s]
