"""Fit a calibration of pairs, and measure it on people outside of the fit.

`mindvox.speakers.calibration` applies it to a folder of recordings.
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
SPEAKERS_FOR_QUALITY = 30  # with fewer people, weights of length and noise would overfit
RIDGE = 1e-3  # pairs of few people can be separable, which would make weights infinite
NUM_FOLDS = 5
LEAST_BAND_SHARE = 0.05  # of the recordings: fewer narrow-band ones do not make a fit valid for telephones
MOST_PAIRS = 300_000  # of one person, and of two; more add little to a fit of four numbers
RULE_OF_THREE = 3.0  # no error in n independent trials: with 95 % confidence the rate is below 3 / n


@dataclass(frozen=True)
class Pairs:
    """Pairs of recordings with known speakers.

    Attributes:
        inputs: (P, len(INPUTS)).
        is_target: whether both sides are of one person, (P,).
        speakers: speaker index of each side, (P, 2).
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
        """Build pairs of recordings.

        Args:
            embeddings: (U, D).
            qualities: qualities of the U recordings.
            speakers: speaker index of each recording, (U,).
            first, second: recording indices of both sides of each pair, (P,); None for both: all pairs.
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
        """Return the pairs whose sides are both of these speakers."""
        return self.chosen(self.is_among(speakers))

    def is_among(self, speakers: np.ndarray) -> np.ndarray:
        """Return a mask of the pairs whose sides are both of these speakers, (P,)."""
        return np.isin(self.speakers, speakers).all(axis=1)

    def chosen(self, which: np.ndarray) -> "Pairs":
        """Return the pairs that a mask or indices select."""
        return Pairs(self.inputs[which], self.is_target[which], self.speakers[which])


def fit_pairs(pairs: Pairs, names: Sequence[str] = INPUTS, ridge: float = RIDGE) -> LinearLlr:
    """Fit weights of the inputs by logistic regression; see `fit_llr`.

    Inputs that are constant over all pairs are left out.

    Raises:
        InputError: all pairs are of one kind, or the weight of the cosine is not positive.
    """
    taken = [index for index, name in enumerate(INPUTS) if name in names and np.ptp(pairs.inputs[:, index]) > 0]
    found = fit_llr(pairs.inputs[:, taken], pairs.is_target, [INPUTS[index] for index in taken], ridge=ridge)
    if found.names[0] != INPUTS[0] or found.weights[0] <= 0:
        raise InputError("in these recordings, a higher cosine speaks against one person. Check their speakers.")
    return found


def bands_of(qualities: Sequence[Quality]) -> tuple[str, ...]:
    """Return the bands that a fit on these recordings covers; see PairCalibration."""
    found = [band_of(quality) for quality in qualities]
    return tuple(band for band in BANDS if found.count(band) >= LEAST_BAND_SHARE * len(found))


def apply(llr: LinearLlr, pairs: Pairs) -> np.ndarray:
    """Return the log-likelihood ratio of each pair, (P,)."""
    return llr(pairs.inputs[:, [INPUTS.index(name) for name in llr.names]])


def draw_pairs(speakers: np.ndarray, most: int = MOST_PAIRS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return both sides of pairs of recordings, (P,) each: all, or up to `most` random pairs of each kind.

    Args:
        speakers: speaker index of each recording, (U,).
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(speakers, kind="stable")
    own = np.split(order, np.flatnonzero(np.diff(speakers[order])) + 1)  # recordings by speaker
    same = np.concatenate([recordings[np.stack(np.triu_indices(len(recordings), 1))] for recordings in own], axis=1)
    if same.shape[1] > most:
        same = same[:, rng.choice(same.shape[1], most, replace=False)]
    if len(speakers) ** 2 <= 4 * most:
        others = np.stack(np.triu_indices(len(speakers), 1))
    else:  # all pairs would take memory quadratic in the number of recordings
        others = np.unique(np.sort(rng.integers(len(speakers), size=(2, 2 * most)), axis=0), axis=1)
    others = others[:, speakers[others[0]] != speakers[others[1]]]
    if others.shape[1] > most:
        others = others[:, rng.choice(others.shape[1], most, replace=False)]
    first, second = np.concatenate((same, others), axis=1)
    return first, second


def cross_validate(
    pairs: Pairs, names: Sequence[str] = INPUTS, ridge: float = RIDGE, seed: int = 0
) -> tuple[np.ndarray, Pairs]:
    """Cross-validate over people: return pairs with ratios from fits that saw neither of their two people.

    The speakers are split into NUM_FOLDS folds, or two if there are fewer than two speakers per fold. Speakers who have
    pairs of one person are spread evenly.

    Raises:
        InputError: the pairs of a fit or of its test fold are all of one kind.
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
                    "people that it did not see. Add pairs between the people, ideally all."
                )
        tested = np.flatnonzero(is_tested)
        ratios.append(apply(fit_pairs(pairs.chosen(is_rest), names, ridge), pairs.chosen(tested)))
        numbers.append(tested)
    return np.concatenate(ratios), pairs.chosen(np.concatenate(numbers))


def speakers_needed(false_accepts: float, false_rejects: float) -> int:
    """Return how many people it takes to show both rates; pairs of people count for one, people for the other."""
    pairs = ceil(RULE_OF_THREE / false_accepts - 1e-9)
    for_accepts = (1 + isqrt(8 * pairs - 7)) // 2
    while for_accepts * (for_accepts - 1) // 2 < pairs:
        for_accepts += 1
    return max(for_accepts, ceil(RULE_OF_THREE / false_rejects - 1e-9))


def rates_shown(num_speakers: int) -> tuple[float, float]:
    """Return the lowest rates of false accepts and false rejects that this many people can show."""
    return RULE_OF_THREE / (num_speakers * (num_speakers - 1) / 2), RULE_OF_THREE / num_speakers
