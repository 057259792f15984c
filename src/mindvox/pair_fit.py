"""Fit a calibration of pairs of recordings, and say how it does on people that it was not fitted on.

`mindvox.speakers.calibration` does it for a folder of recordings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isqrt
from typing import Optional

import numpy as np

from mindvox.errors import InputError
from mindvox.pair_calibration import INPUTS, side_inputs
from mindvox.scoring.calibration import fit_llr
from mindvox.scoring.linear_llr import LinearLlr
from mindvox.speech.quality import BANDS, Quality, band_of

LEAST_SPEAKERS = 5
SPEAKERS_FOR_QUALITY = 30  # with fewer, the weights of length and noise would be those people's
RIDGE = 1e-3  # the pairs of few people can be separated, which would make weights infinite
NUM_FOLDS = 5
LEAST_BAND_SHARE = 0.05  # of the recordings: fewer narrow-band ones do not make a fit one for telephones
MOST_PAIRS = 300_000  # of one person, and of two: more say little more about four numbers
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


def bands_of(qualities: Sequence[Quality]) -> tuple[str, ...]:
    """Return the bands of the recordings of a fit, see PairCalibration."""
    found = [band_of(quality) for quality in qualities]
    return tuple(band for band in BANDS if found.count(band) >= LEAST_BAND_SHARE * len(found))


def apply(llr: LinearLlr, pairs: Pairs) -> np.ndarray:
    """Return the log-likelihood ratio of each pair, (P,)."""
    return llr(pairs.inputs[:, [INPUTS.index(name) for name in llr.names]])


def draw_pairs(speakers: np.ndarray, most: int = MOST_PAIRS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the sides of pairs of recordings, (P,) each: all, or `most` drawn of one person and `most` of two.

    Args:
        speakers: number of the speaker of each recording, (U,).
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(speakers, kind="stable")
    own = np.split(order, np.flatnonzero(np.diff(speakers[order])) + 1)  # the recordings of each speaker
    same = np.concatenate([recordings[np.stack(np.triu_indices(len(recordings), 1))] for recordings in own], axis=1)
    if same.shape[1] > most:
        same = same[:, rng.choice(same.shape[1], most, replace=False)]
    if len(speakers) ** 2 <= 4 * most:
        others = np.stack(np.triu_indices(len(speakers), 1))
    else:  # all would take memory with the square of the recordings
        others = np.unique(np.sort(rng.integers(len(speakers), size=(2, 2 * most)), axis=0), axis=1)
    others = others[:, speakers[others[0]] != speakers[others[1]]]
    if others.shape[1] > most:
        others = others[:, rng.choice(others.shape[1], most, replace=False)]
    first, second = np.concatenate((same, others), axis=1)
    return first, second


def cross_validate(
    pairs: Pairs, names: Sequence[str] = INPUTS, ridge: float = RIDGE, seed: int = 0
) -> tuple[np.ndarray, Pairs]:
    """Return pairs, and their ratios by fits that saw neither of their people.

    The speakers are dealt to NUM_FOLDS parts, or to two where there are fewer than two for each; those of whom there
    are pairs of one person, evenly.

    Raises:
        InputError: pairs of one kind only among the people of a fit or of its test.
    """
    of_targets = np.unique(pairs.speakers[pairs.is_target])
    rng = np.random.default_rng(seed)
    known = np.concatenate(
        [rng.permutation(of_targets), rng.permutation(np.setdiff1d(np.unique(pairs.speakers), of_targets))]
    )
    num_folds = min(NUM_FOLDS, len(of_targets) // 2)
    ratios, numbers = [], []
    for fold in range(num_folds):
        is_tested = pairs.is_among(known[fold::num_folds])
        is_rest = pairs.is_among(np.setdiff1d(known, known[fold::num_folds]))
        for which in (is_rest, is_tested):
            num_targets, count = int(pairs.is_target[which].sum()), int(which.sum())
            if not 0 < num_targets < count:
                raise InputError(
                    f"{num_targets} pairs of one person and {count - num_targets} of two are too few to test a fit on "
                    "people that it did not see. Give more pairs between the people, best all."
                )
        tested = np.flatnonzero(is_tested)
        ratios.append(apply(fit_pairs(pairs.chosen(is_rest), names, ridge), pairs.chosen(tested)))
        numbers.append(tested)
    return np.concatenate(ratios), pairs.chosen(np.concatenate(numbers))


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
