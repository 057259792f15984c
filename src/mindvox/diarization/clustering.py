"""Cluster embeddings (E, D) of length 1 into speakers, labelled 0, 1, ..."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from mindvox.errors import InputError, UsageError

MAX_AT_ONCE = 2000  # most embeddings clustered at once, about an hour; more are first clustered in parts
NUM_FINE = 200  # clusters per part, in two-level clustering
ROUNDING = 1e-9  # an eigenvalue up to this share of the greatest one is zero
NEIGHBOURS_SHARE, MIN_NEIGHBOURS = 0.012, 6  # neighbours in spectral clustering's graph: 3D-Speaker's diar.yaml, code
MAX_SPECTRAL_SPEAKERS = 15  # 3D-Speaker's diar.yaml
MAX_SPEAKERS = 100  # most speakers; labels of frames are int8


@dataclass(frozen=True)
class Count:
    """Bounds of the number of speakers.

    Args:
        least, most: the bounds, both inclusive; None: MAX_SPEAKERS.

    Raises:
        UsageError: no number is within the bounds.
    """

    least: int = 1
    most: Optional[int] = None

    def __post_init__(self) -> None:
        if not 1 <= self.least <= (self.most or MAX_SPEAKERS) <= MAX_SPEAKERS:
            raise UsageError(
                f"number of speakers: expected 1 <= min <= max <= {MAX_SPEAKERS}, got min {self.least} and max "
                f"{self.most}."
            )

    def clipped(self, number: int, possible: int) -> int:
        """Return the number within the bounds nearest to `number`, but at most `possible`."""
        return min(max(number, self.least), self.most or MAX_SPEAKERS, possible)


def cluster(
    embeddings: np.ndarray,
    method: str,
    threshold: float,
    count: Optional[Count] = None,
    min_cluster_size: int = 1,
) -> np.ndarray:
    """Return the labels (E,) of embeddings, numbered in the order of first appearance.

    More than MAX_AT_ONCE embeddings are clustered on two levels: each part into small clusters, then their means.

    Args:
        embeddings: (E, D), each of length 1.
        method: one of CLUSTERINGS.
        threshold: cosine below which clusters are not merged; used by "agglomerative" only.
        count: bounds of the number of speakers; None: none.
        min_cluster_size: smaller clusters are merged into the most similar larger one, unless `count` asks for more
            speakers. It is limited to a tenth of the embeddings, as in pyannote.audio.

    Raises:
        UsageError: there is no such method.
        InputError: scikit-learn is not installed.
    """
    if method not in CLUSTERINGS:
        raise UsageError(f"clustering: expected one of {', '.join(CLUSTERINGS)}, got {method!r}.")
    count = count or Count()
    if len(embeddings) < 2:
        return np.zeros(len(embeddings), int)
    fine, weights = _fine_clusters(embeddings)
    means = _means(embeddings, fine)
    least_size = min(min_cluster_size, max(1, round(0.1 * len(embeddings))))
    labels = CLUSTERINGS[method](means, threshold, count, weights, least_size)
    return in_order(labels[fine])


def in_order(labels: np.ndarray) -> np.ndarray:
    """Renumber labels 0, 1, ... in the order of first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _fine_clusters(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels (E,) of at most MAX_AT_ONCE small clusters, and their sizes."""
    labels = np.arange(len(embeddings))
    while labels.max() >= MAX_AT_ONCE:
        means = _means(embeddings, labels)
        joined = np.empty(len(means), int)
        offset = 0
        for first in range(0, len(means), MAX_AT_ONCE):
            part = means[first : first + MAX_AT_ONCE]
            own = _cut(_linkage(part), min(NUM_FINE, len(part)))
            joined[first : first + len(part)] = offset + own
            offset += own.max() + 1
        labels = joined[labels]
    return labels, np.bincount(labels)


def _means(embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean of each cluster (K, D), of length 1."""
    sums = np.zeros((labels.max() + 1, embeddings.shape[1]))
    np.add.at(sums, labels, embeddings)
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def _linkage(embeddings: np.ndarray) -> np.ndarray:
    """Return SciPy's tree of average linkage; distances are 1 - cosine."""
    return linkage(embeddings, method="average", metric="cosine")


def _cut(tree: np.ndarray, number: int) -> np.ndarray:
    """Return labels from 0 for `number` clusters of a tree: undo its last merges."""
    num_leaves = len(tree) + 1
    if number >= num_leaves:
        return np.arange(num_leaves)
    order = np.arange(len(tree), dtype=float)  # used as the distance, so that ties can be cut, too
    return fcluster(np.column_stack([tree[:, :2], order, tree[:, 3]]), len(tree) - number + 0.5, "distance") - 1


def _agglomerative(
    means: np.ndarray, threshold: float, count: Count, weights: np.ndarray, least_size: int
) -> np.ndarray:
    """Merge clusters by average linkage while their mean cosine is at least `threshold`."""
    tree = _linkage(means)
    wanted = 1 + int(np.count_nonzero(tree[:, 2] > 1 - threshold))
    labels = _cut(tree, wanted)
    sizes = np.bincount(labels, weights)
    number = count.clipped(max(1, int(np.count_nonzero(sizes >= least_size))), len(means))
    # Splitting may only yield small clusters at first: cut lower until there are enough large ones.
    while np.count_nonzero(sizes >= least_size) < number and wanted < len(means):
        wanted += 1
        sizes = np.bincount(_cut(tree, wanted), weights)
    return _largest(means, _cut(tree, max(wanted, number)), number, weights)


def _largest(means: np.ndarray, labels: np.ndarray, number: int, weights: np.ndarray) -> np.ndarray:
    """Keep the `number` largest clusters; move the other embeddings to the most similar of these."""
    sizes = np.bincount(labels, weights)
    kept = np.sort(np.argsort(-sizes, kind="stable")[:number])
    centroids = _means(means * weights[:, None], labels)[kept]
    nearest = (means @ centroids.T).argmax(axis=1)
    position = np.full(len(sizes), -1)
    position[kept] = np.arange(len(kept))
    return np.where(position[labels] >= 0, position[labels], nearest)


def _spectral(means: np.ndarray, threshold: float, count: Count, weights: np.ndarray, least_size: int) -> np.ndarray:
    """Spectral clustering as in 3D-Speaker: graph of nearest neighbours, Laplacian, widest gap between eigenvalues."""
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise InputError("spectral clustering needs scikit-learn: pip install -e '.[diarization]'") from None
    similarity = means @ means.T
    num_kept = min(len(means), max(MIN_NEIGHBOURS, round(NEIGHBOURS_SHARE * len(means))))
    cut = np.sort(similarity, axis=1)[:, -num_kept]
    graph = np.where(similarity >= cut[:, None], similarity, 0)
    graph = (graph + graph.T) / 2
    np.fill_diagonal(graph, 0)
    values, vectors = np.linalg.eigh(np.diag(np.abs(graph).sum(axis=1)) - graph)
    most = min(count.most or MAX_SPECTRAL_SPEAKERS, len(means))
    num_parts = int(np.count_nonzero(values <= ROUNDING * values[-1]))  # no edge of the graph joins two parts
    least = min(max(count.least, num_parts), most)
    gaps = np.diff(values[: most + 1])[least - 1 :]
    number = least + int(gaps.argmax()) if len(gaps) else least
    if number == 1:
        return np.zeros(len(means), int)
    labels = KMeans(number, n_init=10, random_state=0).fit_predict(vectors[:, :number])
    large = int(np.count_nonzero(np.bincount(labels, weights) >= least_size))
    return _largest(means, in_order(labels), count.clipped(max(1, large), number), weights)


Clustering = Callable[[np.ndarray, float, Count, np.ndarray, int], np.ndarray]
"""Takes means (K, D), threshold, bounds, numbers of embeddings (K,) and least cluster size; returns labels (K,)."""
CLUSTERINGS: dict[str, Clustering] = {"agglomerative": _agglomerative, "spectral": _spectral}
