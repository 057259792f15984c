"""The two-covariance model of embeddings, the full-rank form of PLDA, and transforms that prepare embeddings for it.

An embedding is x = y + e: y is the same for all utterances of a speaker, drawn from N(mean, between), and e differs for
each utterance, drawn from N(0, within). N. Brümmer, E. de Villiers 2010 ("The speaker partitioning problem").
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import linalg

from mindvox.errors import InputError

BLOCK_BYTES = 64 * 2**20  # of gathered embeddings
LEAST_RATIO = 1e-10  # ratio of eigenvalues of a covariance; below, it is rank-deficient


class SpeakerStatistics(NamedTuple):
    """Sufficient statistics of the training embeddings.

    Attributes:
        counts: number of utterances of each speaker (K,).
        means: mean embedding of each speaker (K, D).
        scatter: within-speaker scatter, the sum over all utterances of the outer products of their distance from their
            speaker's mean (D, D).
    """

    counts: np.ndarray
    means: np.ndarray
    scatter: np.ndarray

    def overall_mean(self) -> np.ndarray:
        """Mean of all embeddings (D,)."""
        return self.counts @ self.means / self.counts.sum()

    def between_scatter(self) -> np.ndarray:
        """Between-speaker scatter: sum over all utterances of the outer products of their speaker's distance from the
        mean.
        """
        distance = self.means - self.overall_mean()
        return (self.counts[:, None] * distance).T @ distance

    def covariance(self) -> np.ndarray:
        """Biased covariance of all embeddings (D, D)."""
        return (self.scatter + self.between_scatter()) / self.counts.sum()


def speaker_statistics(embeddings: np.ndarray, spk_ids: Sequence[str]) -> SpeakerStatistics:
    """Count, average and measure the spread of each speaker's embeddings, (U, D) and U names of speakers."""
    _, speaker, counts = np.unique(np.asarray(spk_ids), return_inverse=True, return_counts=True)
    size = embeddings.shape[1]
    means = np.zeros((len(counts), size))
    for part in _blocks(len(embeddings), size):
        np.add.at(means, speaker[part], embeddings[part])
    means /= counts[:, None]
    scatter = np.zeros((size, size))
    for part in _blocks(len(embeddings), size):
        distance = embeddings[part] - means[speaker[part]]
        scatter += distance.T @ distance
    return SpeakerStatistics(counts, means, scatter)


def require_full_rank(statistics: SpeakerStatistics) -> None:
    """Raise InputError if the within-speaker covariance is rank-deficient."""
    num_speakers, size = statistics.means.shape
    values = linalg.eigvalsh(statistics.scatter)
    rank = int(np.count_nonzero(values > LEAST_RATIO * max(values[-1], np.finfo(float).tiny)))
    if rank < size:
        raise InputError(
            f"{statistics.counts.sum()} embeddings of {num_speakers} speakers differ within speakers in {rank} of "
            f"{size} dimensions. Give more utterances of the same speakers, or of more speakers."
        )


def discriminant_directions(statistics: SpeakerStatistics, size: int) -> np.ndarray:
    """Linear discriminant analysis: the directions (D, size) with the greatest ratio of between- to within-speaker
    spread.

    Columns are scaled so that the projected covariance within speakers is the identity.

    Raises:
        InputError: `size` is above D or above the number of speakers minus 1, or the within-speaker covariance is
            rank-deficient.
    """
    num_speakers, dimensions = statistics.means.shape
    if not 1 <= size <= min(dimensions, num_speakers - 1):
        raise InputError(
            f"--lda_dim: expected 1 to {min(dimensions, num_speakers - 1)} for embeddings of size {dimensions} and "
            f"{num_speakers} speakers, got {size}."
        )
    require_full_rank(statistics)
    within = statistics.scatter / (statistics.counts.sum() - num_speakers)
    _, directions = linalg.eigh(statistics.between_scatter(), within)
    return directions[:, ::-1][:, :size]


def whitening_matrix(covariance: np.ndarray) -> np.ndarray:
    """Return the symmetric matrix (D, D) that whitens embeddings with this covariance (D, D).

    Raises:
        InputError: the covariance is rank-deficient.
    """
    values, vectors = linalg.eigh(covariance)
    rank = int(np.count_nonzero(values > LEAST_RATIO * values[-1]))
    if rank < len(values):
        raise InputError(
            f"the training embeddings cover {rank} of {len(values)} dimensions. Give more, or a smaller --lda_dim."
        )
    return vectors / np.sqrt(values) @ vectors.T


class FitResult(NamedTuple):
    """A fitted model, and the mean log-likelihood of a training embedding before and after each iteration, nats."""

    model: "TwoCovariance"
    log_likelihoods: list[float]


@dataclass(frozen=True)
class TwoCovariance:
    """The two-covariance model.

    Attributes:
        mean: of speakers (D,).
        between: covariance of speakers (D, D), at least positive semidefinite.
        within: covariance of a speaker's utterances (D, D), positive definite.
    """

    mean: np.ndarray
    between: np.ndarray
    within: np.ndarray

    @classmethod
    def fit(
        cls, embeddings: np.ndarray, spk_ids: Sequence[str], max_iterations: int = 100, tolerance: float = 1e-6
    ) -> FitResult:
        """Fit by expectation maximisation, starting from moment estimates, which are near the maximum for equal counts.

        Args:
            embeddings: (U, D).
            spk_ids: speaker of each.
            max_iterations: greatest number of iterations.
            tolerance: stop when the log-likelihood per embedding rises by less, nats.

        Raises:
            InputError: there are fewer than 2 speakers, or the within-speaker covariance is rank-deficient.
        """
        statistics = speaker_statistics(embeddings, spk_ids)
        if len(statistics.counts) < 2:
            raise InputError(f"PLDA needs at least 2 speakers, got {len(statistics.counts)}.")
        require_full_rank(statistics)
        model = _moment_estimate(statistics)
        log_likelihood, improved = model._improve(statistics)
        log_likelihoods = [log_likelihood]
        for _ in range(max_iterations):
            model = improved
            log_likelihood, improved = model._improve(statistics)
            log_likelihoods.append(log_likelihood)
            if log_likelihoods[-1] - log_likelihoods[-2] < tolerance:
                break
        return FitResult(model, log_likelihoods)

    def diagonalise(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return `ratio` (D,), `basis` (D, D) and its inverse: within = basis basis^T, between = basis ratio basis^T.

        In the coordinates inverse @ (x - mean) both are diagonal: utterances vary by 1, speakers by `ratio`.
        """
        ratio, directions = linalg.eigh(self.between, self.within)
        return np.maximum(ratio, 0), self.within @ directions, directions.T

    def log_likelihood(self, statistics: SpeakerStatistics) -> float:
        """Log-likelihood of all embeddings of all speakers, divided by the number of embeddings."""
        return self._improve(statistics)[0]

    def _improve(self, statistics: SpeakerStatistics) -> tuple[float, "TwoCovariance"]:
        """Return the log-likelihood, and the model after one iteration of expectation maximisation."""
        ratio, basis, inverse = self.diagonalise()
        counts, num_utterances = statistics.counts[:, None], statistics.counts.sum()
        distance = (statistics.means - self.mean) @ inverse.T
        spread = 1 + counts * ratio  # variance of a speaker's mean in this basis, times its count

        quadratic = np.sum((inverse @ statistics.scatter) * inverse) + np.sum(counts * distance**2 / spread)
        log_determinant = num_utterances * np.linalg.slogdet(self.within)[1] + np.sum(np.log(spread))
        constant = num_utterances * len(ratio) * np.log(2 * np.pi)
        log_likelihood = -0.5 * (constant + log_determinant + quadratic) / num_utterances

        variance = ratio / spread  # of each speaker's y given its utterances, diagonal in this basis
        speakers = self.mean + (counts * variance * distance) @ basis.T
        mean = speakers.mean(axis=0)
        away, rest = speakers - mean, statistics.means - speakers
        between = away.T @ away / len(counts) + basis * variance.mean(axis=0) @ basis.T
        within = statistics.scatter + (counts * rest).T @ rest + basis * (counts * variance).sum(axis=0) @ basis.T
        return float(log_likelihood), TwoCovariance(mean, between, within / num_utterances)


def _moment_estimate(statistics: SpeakerStatistics) -> TwoCovariance:
    """Estimate by analysis of variance; negative eigenvalues of the between-speaker covariance are set to small
    values.
    """
    num_speakers, _ = statistics.means.shape
    num_utterances = statistics.counts.sum()
    mean = statistics.means.mean(axis=0)
    within = statistics.scatter / (num_utterances - num_speakers)
    distance = statistics.means - mean
    total = distance.T @ distance / num_speakers
    ratio, directions = linalg.eigh(total, within)
    # A direction with ratio 0 would stay there in every iteration.
    ratio = np.maximum(ratio - np.mean(1 / statistics.counts), 1e-3)
    basis = within @ directions
    return TwoCovariance(mean, basis * ratio @ basis.T, within)


class Scorer:
    """Log-likelihood ratios: the same speaker for all utterances of both sides, against one speaker for each side."""

    def __init__(self, model: TwoCovariance) -> None:
        self.ratio, _, self._inverse = model.diagonalise()
        self._mean = model.mean

    def project(self, embeddings: np.ndarray) -> np.ndarray:
        """Turn embeddings (U, D) into the coordinates in which both covariances are diagonal, float64."""
        return (embeddings - self._mean) @ self._inverse.T

    def score(self, enrol_sums: np.ndarray, enrol_counts: np.ndarray, tests: np.ndarray) -> np.ndarray:
        """Score pairs of an enrolled speaker and a test utterance.

        Args:
            enrol_sums: sums of the projected embeddings that a speaker is enrolled with (T, D).
            enrol_counts: number of those embeddings (T,).
            tests: projected test embeddings (T, D).

        Returns:
            Log-likelihood ratios (T,), natural logarithm.
        """
        counts = np.asarray(enrol_counts)[:, None]
        together = self._evidence(enrol_sums + tests, counts + 1)
        return together - self._evidence(enrol_sums, counts) - self._evidence(tests, 1)

    def score_trials(
        self, enrol_sums: np.ndarray, enrol_counts: np.ndarray, tests: np.ndarray, enrol: np.ndarray, test: np.ndarray
    ) -> np.ndarray:
        """Score trials (T,), given by rows of the enrolled speakers (E, D) and of the test utterances (S, D)."""
        scores = np.empty(len(enrol))
        for part in _blocks(len(enrol), enrol_sums.shape[1]):
            rows = enrol[part]
            scores[part] = self.score(enrol_sums[rows], enrol_counts[rows], tests[test[part]])
        return scores

    def _evidence(self, sums: np.ndarray, counts: np.ndarray | int) -> np.ndarray:
        """Log of the likelihood of utterances of one speaker over that of the same with the speaker at the mean."""
        spread = 1 + counts * self.ratio
        return 0.5 * np.sum(self.ratio * sums**2 / spread - np.log(spread), axis=-1)


def _blocks(num_rows: int, num_columns: int) -> Iterator[slice]:
    size = max(1, BLOCK_BYTES // (8 * num_columns))
    return (slice(start, start + size) for start in range(0, num_rows, size))
