"""Error rates of scored trials. A trial is accepted if its score is at least the threshold.

`eer`, `min_dcf`, `roc_auc` and `min_cllr` depend only on the order of the scores. `act_dcf` and `cllr` treat the scores
as natural logarithms of likelihood ratios, which a cosine is only after calibration.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

from mindvox.errors import InputError


class OperatingPoints(NamedTuple):
    """Errors at every distinct way to split the trials by a threshold, from accepting none to accepting all.

    Attributes:
        thresholds: a threshold of each point: midway between the scores it separates, float64, falling.
        num_misses: targets below the threshold, int64, falling from all to 0.
        num_false_alarms: non-targets at or above the threshold, int64, rising from 0 to all.
    """

    thresholds: np.ndarray
    num_misses: np.ndarray
    num_false_alarms: np.ndarray


class EerResult(NamedTuple):
    """Equal error rate as a fraction in [0, 1], and the threshold at which it is reached."""

    eer: float
    threshold: float


def operating_points(scores: np.ndarray, is_target: np.ndarray) -> OperatingPoints:
    """Count misses and false alarms at every threshold; equal scores are accepted together, as one point.

    Args:
        scores: one finite number a trial, higher for the same speaker.
        is_target: one truth value a trial.

    Raises:
        InputError: lengths differ, a score is NaN or infinite, or there is no target or no non-target trial.
    """
    scores = np.asarray(scores, dtype=np.float64)
    is_target = np.asarray(is_target, dtype=bool)
    _check(scores, is_target)
    order = np.argsort(-scores)
    scores, is_target = scores[order], is_target[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits = np.append(0, np.cumsum(is_target)[last_of_ties])
    accepted = np.append(0, last_of_ties + 1)
    distinct = scores[last_of_ties]
    thresholds = np.concatenate((distinct[:1], distinct[:-1] / 2 + distinct[1:] / 2, distinct[-1:]))
    return OperatingPoints(thresholds, hits[-1] - hits, accepted - hits)


def eer(scores: np.ndarray, is_target: np.ndarray) -> EerResult:
    """Equal error rate: where the miss rate and the false-alarm rate are equal on the ROC drawn with straight lines.

    Between two neighbouring operating points both rates, and the threshold, are interpolated linearly: a point between
    them is reached by choosing one of the two thresholds at random. This is the root of 1 - x - ROC(x) that is commonly
    solved for with an interpolated ROC, computed here exactly. With all scores equal it is 0.5.

    Args and Raises: see operating_points.
    """
    return eer_of(operating_points(scores, is_target))


def eer_of(points: OperatingPoints) -> EerResult:
    """Equal error rate from operating points; see eer."""
    num_targets, num_nontargets = points.num_misses[0], points.num_false_alarms[-1]
    # False-alarm rate minus miss rate, times both counts: whole numbers, strictly rising from below 0 to above 0.
    excess = points.num_false_alarms * num_targets - points.num_misses * num_nontargets
    false_alarms = np.interp(0, excess, points.num_false_alarms)
    return EerResult(float(false_alarms / num_nontargets), float(np.interp(0, excess, points.thresholds)))


def eer_voxceleb_trainer(points: OperatingPoints) -> float:
    """Equal error rate as voxceleb_trainer's tuneThresholdfromScore defines it, for comparison with its tables.

    The greater of the two rates at the corner of the ROC where they differ least, the strictest first. Corners, because
    scikit-learn's roc_curve, which it reads, leaves out the points between on a straight run.
    """
    turns = (np.diff(points.num_misses[1:], 2) != 0) | (np.diff(points.num_false_alarms[1:], 2) != 0)
    is_corner = np.concatenate(([True], [True], turns, [True]))[: len(points.thresholds)]
    miss, false_alarm = _rates(points)
    return _at_least_difference(miss[is_corner], false_alarm[is_corner], np.maximum)


def eer_speechbrain(points: OperatingPoints) -> float:
    """Equal error rate as speechbrain.utils.metric_stats.EER defines it (1.1.2), for comparison with its tables.

    The mean of the two rates at the operating point where they differ least, the most lenient first; the point that
    accepts all is none of its candidates.
    """
    miss, false_alarm = _rates(points)
    return _at_least_difference(miss[-2::-1], false_alarm[-2::-1], lambda a, b: (a + b) / 2)


def _at_least_difference(miss: np.ndarray, false_alarm: np.ndarray, combine: Callable) -> float:
    best = np.argmin(np.abs(miss - false_alarm))
    return float(combine(miss[best], false_alarm[best]))


def _rates(points: OperatingPoints) -> tuple[np.ndarray, np.ndarray]:
    """Return miss rate and false-alarm rate of every operating point."""
    return points.num_misses / points.num_misses[0], points.num_false_alarms / points.num_false_alarms[-1]


def min_dcf(
    scores: np.ndarray, is_target: np.ndarray, p_target: float, c_miss: float = 1.0, c_fa: float = 1.0
) -> float:
    """Least detection cost over all thresholds, divided by that of the better blind answer (NIST SRE): in [0, 1].

    The cost is c_miss * p_target * miss rate + c_fa * (1 - p_target) * false-alarm rate; answering blindly costs
    min(c_miss * p_target, c_fa * (1 - p_target)).

    Args:
        scores, is_target: see operating_points, also for what is raised.
        p_target: prior probability of a target trial, between 0 and 1.
        c_miss, c_fa: costs of the two errors, positive.
    """
    _check_costs(p_target, c_miss, c_fa)
    return min_dcf_of(operating_points(scores, is_target), p_target, c_miss, c_fa)


def min_dcf_of(points: OperatingPoints, p_target: float, c_miss: float = 1.0, c_fa: float = 1.0) -> float:
    """Least normalised detection cost from operating points; see min_dcf."""
    miss, false_alarm = _rates(points)
    return float(np.min(_normalised_cost(miss, false_alarm, p_target, c_miss, c_fa)))


def act_dcf(llrs: np.ndarray, is_target: np.ndarray, p_target: float, c_miss: float = 1.0, c_fa: float = 1.0) -> float:
    """Actual detection cost, normalised like min_dcf, at the threshold that the costs themselves give (Bayes).

    That is log(c_fa * (1 - p_target) / (c_miss * p_target)): where scores are well calibrated, act_dcf is near min_dcf;
    it has no upper bound.

    Args:
        llrs: log-likelihood ratio of each trial, natural logarithm.
        is_target, p_target, c_miss, c_fa: see min_dcf.
    """
    _check_costs(p_target, c_miss, c_fa)
    targets, nontargets = _split(llrs, is_target)
    threshold = np.log(c_fa * (1 - p_target)) - np.log(c_miss * p_target)
    miss, false_alarm = np.mean(targets < threshold), np.mean(nontargets >= threshold)
    return float(_normalised_cost(miss, false_alarm, p_target, c_miss, c_fa))


def _check_costs(p_target: float, c_miss: float, c_fa: float) -> None:
    if not (0 < p_target < 1 and c_miss > 0 and c_fa > 0):
        raise ValueError(f"`p_target` must lie in (0, 1) and costs be positive, got {p_target}, {c_miss}, {c_fa}.")


def _normalised_cost(
    miss: np.ndarray, false_alarm: np.ndarray, p_target: float, c_miss: float, c_fa: float
) -> np.ndarray:
    miss_weight, false_alarm_weight = c_miss * p_target, c_fa * (1 - p_target)
    return (miss_weight * miss + false_alarm_weight * false_alarm) / min(miss_weight, false_alarm_weight)


def cllr(llrs: np.ndarray, is_target: np.ndarray) -> float:
    """Cost of log-likelihood ratios in bits (Bruemmer and du Preez 2006, "Application-independent evaluation").

    The mean of log2(1 + exp(-llr)) over targets and of log2(1 + exp(llr)) over non-targets, averaged. Scores that are
    all 0, which say nothing, cost 1.

    Args and Raises: see operating_points; natural logarithms.
    """
    targets, nontargets = _split(llrs, is_target)
    return float((np.logaddexp(0, -targets).mean() + np.logaddexp(0, nontargets).mean()) / (2 * np.log(2)))


def min_cllr(scores: np.ndarray, is_target: np.ndarray) -> float:
    """Least cllr over all increasing maps of the scores, in [0, 1]: the part that calibration cannot repair.

    The best map is found by isotonic regression of the truth on the scores (pool adjacent violators); equal scores stay
    equal.

    Args and Raises: see operating_points.
    """
    return min_cllr_of(operating_points(scores, is_target))


def min_cllr_of(points: OperatingPoints) -> float:
    """Least cllr from operating points; see min_cllr."""
    targets, nontargets = -np.diff(points.num_misses)[::-1], np.diff(points.num_false_alarms)[::-1]  # scores rising
    trials = targets + nontargets
    posterior = isotonic_regression(targets / trials, weights=trials).x
    prior_odds = targets.sum() / nontargets.sum()

    def bits(counts: np.ndarray, own: np.ndarray, other: np.ndarray, odds: float) -> float:
        is_there = counts > 0  # without trials of this kind, the posterior may be 0
        return np.sum(counts[is_there] * np.log2(1 + odds * other[is_there] / own[is_there])) / counts.sum()

    rest = np.maximum(1 - posterior, 0)  # a posterior may exceed 1 by rounding
    target_bits = bits(targets, posterior, rest, prior_odds)
    return float((target_bits + bits(nontargets, rest, posterior, 1 / prior_odds)) / 2)


def roc_auc(scores: np.ndarray, is_target: np.ndarray) -> float:
    """Area below the ROC: how often a target scores above a non-target; a tie counts half.

    Args and Raises: see operating_points.
    """
    return roc_auc_of(operating_points(scores, is_target))


def roc_auc_of(points: OperatingPoints) -> float:
    """Area below the ROC from operating points; see roc_auc."""
    miss, false_alarm = _rates(points)
    return float(np.sum(np.diff(false_alarm) * (2 - miss[1:] - miss[:-1])) / 2)


class Threshold(NamedTuple):
    """A threshold and its error rates: a trial is accepted if its score is at least the threshold."""

    threshold: float
    miss_rate: float
    false_alarm_rate: float


def threshold_at_false_alarm_rate(scores: np.ndarray, is_target: np.ndarray, rate: float) -> Threshold:
    """Return the most lenient threshold whose false-alarm rate is at most `rate`.

    It is the lowest accepted score or, if not even the highest may be accepted, the next number above it.

    Args:
        scores, is_target: see operating_points, also for what is raised.
        rate: in [0, 1].
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"`rate` must lie in [0, 1], got {rate}.")
    points = operating_points(scores, is_target)
    last = int(np.searchsorted(points.num_false_alarms / points.num_false_alarms[-1], rate, side="right")) - 1
    miss, false_alarm = _rates(points)
    distinct = np.unique(np.asarray(scores, dtype=np.float64))[::-1]
    threshold = distinct[last - 1] if last else np.nextafter(distinct[0], np.inf)
    return Threshold(float(threshold), float(miss[last]), float(false_alarm[last]))


def _split(scores: np.ndarray, is_target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return target scores and non-target scores, checked."""
    scores = np.asarray(scores, dtype=np.float64)
    is_target = np.asarray(is_target, dtype=bool)
    _check(scores, is_target)
    return scores[is_target], scores[~is_target]


def _check(scores: np.ndarray, is_target: np.ndarray) -> None:
    if scores.ndim != 1 or scores.shape != is_target.shape:
        raise InputError(f"expected one score and one label a trial, got shapes {scores.shape} and {is_target.shape}.")
    num_bad = int(np.count_nonzero(~np.isfinite(scores)))
    if num_bad:
        first = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise InputError(f"{num_bad} of {len(scores)} scores are NaN or infinite; the first is of trial {first + 1}.")
    num_targets = int(np.count_nonzero(is_target))
    if not 0 < num_targets < len(is_target):
        raise InputError(
            f"error rates need target and non-target trials, got {num_targets} and {len(is_target) - num_targets}."
        )
