"""Confidence intervals of error rates: their variation with other speakers of the same kind.

Trials are not independent: those of one speaker share a voice. Therefore speakers are drawn with replacement. A trial
counts as often as both of its speakers were drawn: the product of their numbers or, if both sides are of one speaker,
that speaker's number, because the two sides are drawn together (the bootstrap of dyadic data: Davezies, D'Haultfoeuille
and Guyonvarch 2021, "Empirical process results for exchangeable arrays").
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from mindvox.parallel import num_cores
from mindvox.scoring.metrics import operating_points

LEVEL = 0.95


class Intervals(NamedTuple):
    """Percentile intervals at LEVEL.

    Attributes:
        eer: lower and upper end.
        min_dcf: lower and upper end for each p_target.
        num_speakers: number of speakers that were drawn from.
        num_draws: number of draws.
    """

    eer: tuple[float, float]
    min_dcf: dict[float, tuple[float, float]]
    num_speakers: int
    num_draws: int


def speaker_intervals(
    scores: np.ndarray,
    is_target: np.ndarray,
    enrol_speaker: np.ndarray,
    test_speaker: np.ndarray,
    p_targets: Sequence[float],
    num_draws: int,
    seed: int,
) -> Intervals:
    """Bootstrap speakers, and return intervals of the EER and of minDCF with both costs 1.

    A seed gives the same intervals for any number of threads.

    Args:
        scores, is_target: see metrics.operating_points, also for what is raised.
        enrol_speaker, test_speaker: speaker index of each trial's two sides, from 0, (T,).
        p_targets: target priors for minDCF.
        num_draws: number of draws of speakers; 1000 fixes the ends to a few per cent of the interval's length.
        seed: random seed of the draws.
    """
    operating_points(scores, is_target)  # checks both
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    descending = np.asarray(scores, dtype=np.float64)[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(descending)), len(descending) - 1)
    is_target, first, second = (np.asarray(values)[order] for values in (is_target, enrol_speaker, test_speaker))
    num_speakers = int(max(first.max(), second.max())) + 1
    present = np.unique(np.concatenate((first, second)))
    is_within = first == second

    def draw(number: int) -> list[float]:
        rng = np.random.default_rng((seed, number))
        while True:
            times = np.zeros(num_speakers)
            times[present] = rng.multinomial(len(present), np.full(len(present), 1 / len(present)))
            weights = times[first]
            np.multiply(weights, times[second], out=weights, where=~is_within)
            hits = np.cumsum(weights * is_target)[last_of_ties]
            false_alarms = np.cumsum(weights)[last_of_ties] - hits
            if hits[-1] > 0 and false_alarms[-1] > 0:
                return _error_rates(1 - hits / hits[-1], false_alarms / false_alarms[-1], p_targets)

    with ThreadPoolExecutor(num_cores()) as pool:
        draws = np.array(list(pool.map(draw, range(num_draws))))
    tail = (1 - LEVEL) / 2
    ends = np.quantile(draws, (tail, 1 - tail), axis=0).T.tolist()
    eer_ends, *cost_ends = map(tuple, ends)
    return Intervals(eer_ends, dict(zip(p_targets, cost_ends, strict=True)), len(present), num_draws)


def _error_rates(miss: np.ndarray, false_alarm: np.ndarray, p_targets: Sequence[float]) -> list[float]:
    """Return EER (as metrics.eer defines it) and minDCFs; the rates lack the point that accepts no trial."""
    excess = false_alarm - miss
    after = int(np.searchsorted(excess, 0))
    miss_before, alarm_before = (miss[after - 1], false_alarm[after - 1]) if after else (1.0, 0.0)
    share = (miss_before - alarm_before) / ((miss_before - alarm_before) + excess[after])
    rates = [alarm_before + share * (false_alarm[after] - alarm_before)]
    for p_target in p_targets:
        least = np.min(p_target * miss + (1 - p_target) * false_alarm)
        rates.append(min(1.0, least / min(p_target, 1 - p_target)))  # 1 or less: accepting none costs p_target
    return rates
