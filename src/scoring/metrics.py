"""Error rates of scored trials. A trial is accepted when its score is at least the threshold."""

from typing import NamedTuple

import numpy as np

from src.errors import InputError


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
    points = operating_points(scores, is_target)
    num_targets, num_nontargets = points.num_misses[0], points.num_false_alarms[-1]
    # False-alarm rate minus miss rate, times both counts: whole numbers, strictly rising from below 0 to above 0.
    excess = points.num_false_alarms * num_targets - points.num_misses * num_nontargets
    false_alarms = np.interp(0, excess, points.num_false_alarms)
    return EerResult(float(false_alarms / num_nontargets), float(np.interp(0, excess, points.thresholds)))


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
    if not (0 < p_target < 1 and c_miss > 0 and c_fa > 0):
        raise ValueError(f"`p_target` must lie in (0, 1) and costs be positive, got {p_target}, {c_miss}, {c_fa}.")
    points = operating_points(scores, is_target)
    miss_rate = points.num_misses / points.num_misses[0]
    false_alarm_rate = points.num_false_alarms / points.num_false_alarms[-1]
    miss_weight, false_alarm_weight = c_miss * p_target, c_fa * (1 - p_target)
    cost = miss_weight * miss_rate + false_alarm_weight * false_alarm_rate
    return float(np.min(cost) / min(miss_weight, false_alarm_weight))


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
