"""Cosine scores of trials, mean subtraction, and score normalisation against a cohort of other speakers."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from src.errors import InputError

BLOCK_BYTES = 64 * 2**20  # size of a block of scores or of gathered embeddings; a few of them are alive at once
# Cosines are float32 products with errors of some 1e-7: a smaller deviation is rounding, not spread.
LEAST_DEVIATION = 1e-6


class CohortStatistics(NamedTuple):
    """Mean and standard deviation of each utterance's best cohort scores, float64 (U,)."""

    mean: np.ndarray
    std: np.ndarray


def unit_length(embeddings: np.ndarray, utt_ids: Sequence[str], mean: np.ndarray | None = None) -> np.ndarray:
    """Subtract a mean embedding, when given, and scale every row to length 1: float32 (U, D).

    Raises:
        InputError: a row has length 0, so that it has no direction; it is named from `utt_ids`.
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
        unit_rows: embeddings of length 1, (U, D).
        enrol, test: row numbers of each trial's two sides, (number of trials,).
    """
    scores = np.empty(len(enrol), dtype=np.float64)
    for part in _blocks(len(enrol), unit_rows.shape[1]):
        scores[part] = np.einsum("td,td->t", unit_rows[enrol[part]], unit_rows[test[part]], dtype=np.float64)
    return scores


def cohort_statistics(
    unit_rows: np.ndarray, cohort: np.ndarray, utt_ids: Sequence[str], cohort_size: int, norm_std: str = "population"
) -> CohortStatistics:
    """Mean and deviation of the cosines of each row with the cohort embeddings that are most like it.

    Args:
        unit_rows: embeddings of length 1, (U, D).
        cohort: cohort embeddings of length 1, (M, D).
        utt_ids: names of the rows, for errors.
        cohort_size: number of best cohort scores used for a row; all when the cohort is smaller.
        norm_std: "population" divides the squared deviations by their number n, "unbiased" by n - 1 (SpeechBrain).

    Raises:
        InputError: fewer than 2 scores, or a row whose cohort scores are all equal.
    """
    num_best = min(cohort_size, len(cohort))
    if num_best < 2:
        raise InputError(f"score normalisation needs at least 2 cohort scores, got {num_best}.")
    ddof = {"population": 0, "unbiased": 1}[norm_std]
    statistics = CohortStatistics(np.empty(len(unit_rows)), np.empty(len(unit_rows)))
    for part in _blocks(len(unit_rows), len(cohort)):
        scores = unit_rows[part] @ cohort.T
        if num_best < len(cohort):
            scores.partition(len(cohort) - num_best, axis=1)
        best = scores[:, -num_best:]
        statistics.mean[part] = best.mean(axis=1, dtype=np.float64)
        statistics.std[part] = best.std(axis=1, dtype=np.float64, ddof=ddof)
    if not (statistics.std > LEAST_DEVIATION).all():
        name = utt_ids[int(np.argmin(statistics.std))]
        raise InputError(
            f"{name}: its {num_best} best cohort scores are all equal: the cohort needs different utterances."
        )
    return statistics


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
