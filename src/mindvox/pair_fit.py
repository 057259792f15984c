"""Fit a calibration of pairs of recordings, and say how it does on people that it was not fitted on."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isqrt
from typing import Optional

import numpy as np

from mindvox.errors import InputError
from mindvox.pair_calibration import INPUTS, side_inputs
from mindvox.scoring.calibration import fit_llr
from mindvox.scoring.linear_llr import LinearLlr
from mindvox.speech.quality import Quality

LEAST_SPEAKERS = 5
SPEAKERS_FOR_QUALITY = 30  # with fewer, the weights of length and noise would be those people's
RIDGE = 1e-3  # the pairs of few people can be separated, which would make weights infinite
NUM_FOLDS = 5
RULE_OF_THREE = 3.0  # no error in n independent trials: with 95 % confidence the rate is below 3 / n


@dataclass(frozen=True)
class Pairs:
    """Pairs of recordings whose speakers are known.

    Attributes:
        inputs: (P, len(INPUTS)).
        is_target: whether both are of one person, (P,).
        speakers: number of the speaker of each side, (P, 2).
    """

    inputs: np.ndarray
    is_target: np.ndarray
    speakers: np.ndarray

    @classmethod
    def of(
        cls,
        embeddings: np.ndarray,
        qualities: Sequence[Quality],
        speakers: np.ndarray,
        first: Optional[np.ndarray] = None,
        second: Optional[np.ndarray] = None,
    ) -> "Pairs":
        """Pair recordings.

        Args:
            embeddings: (U, D).
            qualities: of the U recordings.
            speakers: their numbers, (U,).
            first, second: the sides of each pair, (P,), both or none; None: all pairs.
        """
        if first is None or second is None:
            first, second = np.triu_indices(len(embeddings), 1)
        unit = embeddings.astype(np.float64) / np.linalg.norm(embeddings, axis=1, keepdims=True)
        cosines = np.einsum("ij,ij->i", unit[first], unit[second])
        of_sides = np.array([side_inputs(quality) for quality in qualities])
        inputs = np.column_stack((cosines, np.minimum(of_sides[first], of_sides[second])))
        sides = np.stack([speakers[first], speakers[second]], axis=1)
        return cls(inputs, sides[:, 0] == sides[:, 1], sides)

    def among(self, speakers: np.ndarray) -> "Pairs":
        """Return the pairs of which both sides are of these speakers."""
        return self.chosen(self.is_among(speakers))

    def is_among(self, speakers: np.ndarray) -> np.ndarray:
        """Return of each pair whether both sides are of these speakers, (P,)."""
        return np.isin(self.speakers, speakers).all(axis=1)

    def chosen(self, which: np.ndarray) -> "Pairs":
        """Return some pairs, by truth values or numbers."""
        return Pairs(self.inputs[which], self.is_target[which], self.speakers[which])


def fit_pairs(pairs: Pairs, names: Sequence[str] = INPUTS, ridge: float = RIDGE) -> LinearLlr:
    """Fit weights of the inputs by logistic regression, see `fit_llr`.

    Inputs that are the same in all pairs are left out.

    Raises:
        InputError: pairs of one kind only, or a higher cosine speaks against one person.
    """
    taken = [index for index, name in enumerate(INPUTS) if name in names and np.ptp(pairs.inputs[:, index]) > 0]
    found = fit_llr(pairs.inputs[:, taken], pairs.is_target, [INPUTS[index] for index in taken], ridge=ridge)
    if found.names[0] != INPUTS[0] or found.weights[0] <= 0:
        raise InputError("a higher cosine speaks against one person in these recordings. Are their speakers right?")
    return found


def apply(llr: LinearLlr, pairs: Pairs) -> np.ndarray:
    """Return the log-likelihood ratio of each pair, (P,)."""
    return llr(pairs.inputs[:, [INPUTS.index(name) for name in llr.names]])


def cross_validate(
    pairs: Pairs, names: Sequence[str] = INPUTS, ridge: float = RIDGE, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return ratios and truth of pairs by fits that saw neither of their people.

    The speakers are dealt to NUM_FOLDS parts, or to two where there are fewer than two for each.
    """
    known = np.random.default_rng(seed).permutation(np.unique(pairs.speakers))
    num_folds = min(NUM_FOLDS, len(known) // 2)
    ratios, truth = [], []
    for fold in range(num_folds):
        held = known[fold::num_folds]
        rest, tested = pairs.among(np.setdiff1d(known, held)), pairs.among(held)
        ratios.append(apply(fit_pairs(rest, names, ridge), tested))
        truth.append(tested.is_target)
    return np.concatenate(ratios), np.concatenate(truth)


def speakers_needed(false_accepts: float, false_rejects: float) -> int:
    """Return how many people it takes to show both rates: pairs of people for one, people for the other."""
    pairs = ceil(RULE_OF_THREE / false_accepts - 1e-9)
    for_accepts = (1 + isqrt(8 * pairs - 7)) // 2
    while for_accepts * (for_accepts - 1) // 2 < pairs:
        for_accepts += 1
    return max(for_accepts, ceil(RULE_OF_THREE / false_rejects - 1e-9))


def rates_shown(num_speakers: int) -> tuple[float, float]:
    """Return the least rates of false accepts and false rejects that so many people can show."""
    return RULE_OF_THREE / (num_speakers * (num_speakers - 1) / 2), RULE_OF_THREE / num_speakers
