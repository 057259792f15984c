"""Cosine scores of trials, mean subtraction, and score normalisation against a cohort of other speakers.

The costly part is the best cohort scores of every utterance: utterances x cohort products, of which some per cent are
kept. Threads process blocks of utterances. Within a block, products are computed in tiles that fit the cache, and only
scores above a bound are kept. The bound is so low that nearly always all of the best scores are kept. Rows where this
fails are detected and computed again without a bound, so that the result is always exact.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np

from mindvox.errors import InputError
from mindvox.parallel import num_cores

BLOCK_BYTES = 64 * 2**20  # size of a block of scores or of gathered embeddings; a few of them exist at once
TILE_ROWS, TILE_COLUMNS = 512, 4096  # 8 MiB of scores: two threads' tiles stay in a cache of 32 MiB
T = TypeVar("T")
# Cosines are float32 products with errors of about 1e-7; a smaller deviation is rounding.
LEAST_DEVIATION = 1e-6


class CohortStatistics(NamedTuple):
    """Mean and standard deviation of each utterance's best cohort scores, float64 (U,)."""

    mean: np.ndarray
    std: np.ndarray


def unit_length(embeddings: np.ndarray, utt_ids: Sequence[str], mean: np.ndarray | None = None) -> np.ndarray:
    """Subtract a mean embedding, if given, and scale every row to length 1: float32 (U, D).

    Raises:
        InputError: a row has length 0 and thus no direction; the message names it from `utt_ids`.
    """
    rows = np.array(embeddings, dtype=np.float32)
    if mean is not None:
        rows -= mean.astype(np.float32)
    lengths = np.sqrt(np.einsum("ud,ud->u", rows, rows, dtype=np.float64))
    if not lengths.all():
        which = "a zero embedding" if mean is None else "an embedding equal to the mean"
        raise InputError(f"{utt_ids[int(np.argmin(lengths))]}: {which} has no direction to compare.")
    rows /= lengths[:, None]
    return rows


def mean_embedding(embeddings: np.ndarray) -> np.ndarray:
    """Mean over utterances, (U, D) -> float64 (D,)."""
    return embeddings.mean(axis=0, dtype=np.float64)


def cosine_scores(unit_rows: np.ndarray, enrol: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Cosine of each trial, in blocks of trials.

    Args:
        unit_rows: embeddings of length 1, (U, D); or means of an utterance's crops of length 1, which give the mean
            cosine over all pairs of crops.
        enrol, test: row numbers of each trial's two sides, (number of trials,).
    """
    scores = np.empty(len(enrol), dtype=np.float64)
    for part in _blocks(len(enrol), unit_rows.shape[1]):
        scores[part] = np.einsum("td,td->t", unit_rows[enrol[part]], unit_rows[test[part]], dtype=np.float64)
    return scores


def crop_distance_scores(unit_crops: np.ndarray, enrol: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Negated mean Euclidean distance between all crops of one side and all of the other (voxceleb_trainer).

    Args:
        unit_crops: embeddings of length 1, (U, C, D), C crops of each utterance.
        enrol, test: row numbers of each trial's two sides, (number of trials,).
    """
    num_crops, size = unit_crops.shape[1:]
    scores = np.empty(len(enrol), dtype=np.float64)
    for part in _blocks(len(enrol), 2 * num_crops * max(size, num_crops)):
        # Double precision: |a|^2 + |b|^2 - 2ab of float32 would be off by 3e-4 for equal crops.
        a, b = (unit_crops[side[part]].astype(np.float64) for side in (enrol, test))
        squares = [np.einsum("tcd,tcd->tc", side, side) for side in (a, b)]
        squared = squares[0][:, :, None] + squares[1][:, None, :] - 2 * (a @ b.transpose(0, 2, 1))
        scores[part] = -np.sqrt(np.maximum(squared, 0)).mean(axis=(1, 2))
    return scores


def cohort_statistics(
    unit_rows: np.ndarray, cohort: np.ndarray, utt_ids: Sequence[str], cohort_size: int, norm_std: str = "population"
) -> CohortStatistics:
    """Mean and deviation of the cosines of each row with its most similar cohort embeddings.

    Args:
        unit_rows: embeddings of length 1, (U, D).
        cohort: cohort embeddings of length 1, (M, D).
        utt_ids: names of the rows, for errors.
        cohort_size: number of best cohort scores used for a row; a smaller cohort is used whole.
        norm_std: "population" divides the squared deviations by their number n, "unbiased" by n - 1 (SpeechBrain).

    Raises:
        InputError: fewer than 2 scores, or a row whose cohort scores are all equal.
    """
    num_best = min(cohort_size, len(cohort))
    if num_best < 2:
        raise InputError(f"score normalisation needs at least 2 cohort scores, got {num_best}.")
    if num_best == len(cohort):
        mean, variance = _moments_of_all(unit_rows, cohort)
    else:
        mean, variance = _moments_of_best(unit_rows, cohort, num_best)
    ddof = {"population": 0, "unbiased": 1}[norm_std]
    statistics = CohortStatistics(mean, np.sqrt(variance * num_best / (num_best - ddof)))
    if not (statistics.std > LEAST_DEVIATION).all():
        name = utt_ids[int(np.argmin(statistics.std))]
        raise InputError(
            f"{name}: its {num_best} best cohort scores are all equal: the cohort needs different utterances."
        )
    return statistics


def _moments_of_all(rows: np.ndarray, cohort: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of each row's products with the whole cohort, float64 (U,), without the products.

    The mean of r.c over c is r.mean(c), its variance r'Cov(c)r.
    """
    mean = mean_embedding(cohort)
    covariance = np.zeros((cohort.shape[1], cohort.shape[1]))
    for part in _blocks(len(cohort), 2 * cohort.shape[1]):
        centred = cohort[part] - mean
        covariance += centred.T @ centred
    means, variances = np.empty(len(rows)), np.empty(len(rows))
    for part in _blocks(len(rows), 2 * rows.shape[1]):
        block = rows[part].astype(np.float64)
        means[part] = block @ mean
        variances[part] = np.einsum("ud,ud->u", block @ (covariance / len(cohort)), block)
    return means, np.maximum(variances, 0.0)


def _moments_of_best(rows: np.ndarray, cohort: np.ndarray, num_best: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of each row's `num_best` greatest products with the cohort, float64 (U,)."""
    # With n cohort rows a sample of n^(2/3) balances its own cost against that of needless survivors.
    sample = np.ascontiguousarray(cohort[:: max(1, round(len(cohort) ** (1 / 3)))])

    def moments(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        best = _best_products(block, cohort, sample, num_best)
        mean, variance = np.empty(len(best)), np.empty(len(best))
        for part in _blocks(len(best), 2 * num_best):
            wide = best[part].astype(np.float64)
            mean[part] = wide.mean(axis=1)
            wide -= mean[part, None]
            variance[part] = np.einsum("rn,rn->r", wide, wide) / num_best
        return mean, variance

    parts = map_blocks(moments, rows, len(cohort))
    return np.concatenate([mean for mean, _ in parts]), np.concatenate([variance for _, variance in parts])


def map_blocks(function: Callable[[np.ndarray], T], rows: np.ndarray, num_cohort: int) -> list[T]:
    """Call a function for all blocks of rows, in as many threads as there are cores; the order is kept."""
    from threadpoolctl import threadpool_limits  # imported here: only scoring with a cohort needs it

    # In the worst case, if all are tied, a block keeps all its products.
    size = max(16, min(TILE_ROWS, 4 * BLOCK_BYTES // (4 * num_cohort) // 16 * 16))
    blocks = [rows[start : start + size] for start in range(0, len(rows), size)]
    # One thread of matrix products in each of ours, so that none waits for another.
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(num_cores()) as pool:
        return list(pool.map(function, blocks))


def product_tiles(rows: np.ndarray, cohort: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the products of a block of rows with the cohort, float32 (R, at most TILE_COLUMNS)."""
    return (rows @ cohort[start : start + TILE_COLUMNS].T for start in range(0, len(cohort), TILE_COLUMNS))


def _best_products(rows: np.ndarray, cohort: np.ndarray, sample: np.ndarray, num_best: int) -> np.ndarray:
    """Return each row's `num_best` greatest products with the cohort, in any order, float32 (R, num_best)."""
    best, is_whole = _best_above(rows, cohort, _lower_bounds(rows @ sample.T, num_best / len(cohort)), num_best)
    if not is_whole.all():
        again = rows[~is_whole]
        best[~is_whole], _ = _best_above(again, cohort, np.full(len(again), -np.inf, np.float32), num_best)
    return best


def _lower_bounds(sampled: np.ndarray, share: float) -> np.ndarray:
    """Return, for each row of sampled scores, a bound that slightly more than this share of all scores exceed."""
    expected = share * sampled.shape[1]
    rank = int(np.ceil(expected + 4 * np.sqrt(expected) + 4))  # four deviations: about one row in 30,000 falls short
    if rank >= sampled.shape[1]:
        return np.full(len(sampled), -np.inf, dtype=np.float32)
    return np.partition(sampled, -rank, axis=1)[:, -rank]


def _best_above(
    rows: np.ndarray, cohort: np.ndarray, bounds: np.ndarray, num_best: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's `num_best` greatest products not below its bound, and whether there are enough."""
    survivors, counts = [], []
    for tile in product_tiles(rows, cohort):
        is_kept = tile >= bounds[:, None]
        survivors.append(tile[is_kept])  # row by row
        counts.append(np.array([np.count_nonzero(row) for row in is_kept]))  # several times faster than along an axis
    totals = np.sum(counts, axis=0)
    width = max(int(totals.max()), num_best)
    kept = np.full(len(rows) * width, -np.inf, dtype=np.float32)
    next_place = np.arange(len(rows)) * width
    for values, count in zip(survivors, counts, strict=True):
        first_of_row = np.cumsum(count) - count
        kept[np.repeat(next_place - first_of_row, count) + np.arange(len(values))] = values
        next_place += count
    kept = kept.reshape(len(rows), width)
    kept.partition(width - num_best, axis=1)
    return kept[:, width - num_best :], totals >= num_best


def speaker_means(embeddings: np.ndarray, spk_ids: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Mean of each speaker's embeddings without length normalisation, as in wespeaker's cohort.

    Args:
        embeddings: (U, D); may be memory-mapped, it is read in blocks.
        spk_ids: speaker of each row.

    Returns:
        The speakers, sorted, and their means, float32 (S, D).
    """
    speakers, row_speaker, counts = np.unique(
        np.asarray(spk_ids, dtype=object), return_inverse=True, return_counts=True
    )
    sums = np.zeros((len(speakers), embeddings.shape[1]))
    for part in _blocks(len(embeddings), 3 * embeddings.shape[1]):
        order = np.argsort(row_speaker[part], kind="stable")
        present, starts = np.unique(row_speaker[part][order], return_index=True)  # rows of a speaker now stand together
        sums[present] += np.add.reduceat(embeddings[part][order], starts, axis=0, dtype=np.float64)
    return list(speakers), (sums / counts[:, None]).astype(np.float32)


def normalise(
    scores: np.ndarray, enrol: np.ndarray, test: np.ndarray, statistics: CohortStatistics, score_norm: str
) -> np.ndarray:
    """Shift and scale scores by their sides' cohort statistics.

    z-norm takes the statistics of the enrolment side, t-norm those of the test side, s-norm the mean of both results:
    over the best cohort scores of each side, that is adaptive s-norm 1 of Matejka et al. 2017 ("Analysis of score
    normalization in multilingual speaker recognition").

    Args:
        scores: cosine of each trial.
        enrol, test: indices into the statistics of each trial's two sides.
        statistics: from cohort_statistics.
        score_norm: "s-norm", "z-norm" or "t-norm".
    """
    sides = {"z-norm": [enrol], "t-norm": [test], "s-norm": [enrol, test]}[score_norm]
    return np.mean([(scores - statistics.mean[side]) / statistics.std[side] for side in sides], axis=0)


def _blocks(num_rows: int, num_columns: int) -> Iterator[slice]:
    size = max(1, BLOCK_BYTES // (4 * num_columns))
    return (slice(start, start + size) for start in range(0, num_rows, size))
