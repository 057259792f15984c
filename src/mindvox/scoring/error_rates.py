"""Error rates of the scores of a trial list: the main ones, and further numbers."""

import sys
from typing import NamedTuple, Optional

import numpy as np

from mindvox.scoring import metrics
from mindvox.scoring.bootstrap import Intervals
from mindvox.scoring.measures import P_TARGETS


class Result(NamedTuple):
    """Error rates of one kind of score: EER as a fraction, its threshold, normalised minDCF for each p_target."""

    eer: float
    threshold: float
    min_dcf: dict[float, float]


class Details(NamedTuple):
    """Further numbers of one kind of score, which need no calibration; see metrics.

    Attributes:
        at_false_alarm_rate: the threshold for the false-alarm rate `target_far`.
        intervals: intervals of EER and minDCF, if speakers were bootstrapped.
    """

    roc_auc: float
    min_cllr: float
    eer_voxceleb_trainer: float
    eer_speechbrain: float
    at_false_alarm_rate: metrics.Threshold
    intervals: Optional[Intervals]


def measure(scores: np.ndarray, is_target: np.ndarray) -> Result:
    """Compute the main error rates."""
    points = metrics.operating_points(scores, is_target)
    costs = {p_target: metrics.min_dcf_of(points, p_target) for p_target in P_TARGETS}
    return Result(*metrics.eer_of(points), costs)


def measure_details(
    scores: np.ndarray, is_target: np.ndarray, target_far: float, intervals: Optional[Intervals] = None
) -> Details:
    """Compute the further numbers; `target_far` is the false-alarm rate whose threshold is reported."""
    points = metrics.operating_points(scores, is_target)
    return Details(
        roc_auc=metrics.roc_auc_of(points),
        min_cllr=metrics.min_cllr_of(points),
        eer_voxceleb_trainer=metrics.eer_voxceleb_trainer(points),
        eer_speechbrain=metrics.eer_speechbrain(points),
        at_false_alarm_rate=metrics.threshold_at_false_alarm_rate(scores, is_target, target_far),
        intervals=intervals,
    )


def looks_swapped(eer: float, is_target: np.ndarray) -> bool:
    """Return whether targets score below non-targets beyond chance: an EER well above a half.

    At chance, the EER of n trials of the rarer kind has a standard deviation of at most 0.5 / sqrt(n).
    """
    num_rarer = min(np.count_nonzero(is_target), np.count_nonzero(~is_target))
    return eer > 0.5 + max(0.05, 3 * 0.5 / np.sqrt(num_rarer))


def warn_if_swapped(eer: float, is_target: np.ndarray, trial_format: str) -> bool:
    """Print a warning if labels or columns of a trial list seem to be swapped; return whether it was printed."""
    is_swapped = looks_swapped(eer, is_target)
    if is_swapped:
        print(
            f"warning: an EER of {eer:.1%}: target trials score lower than non-targets. Are the list's labels swapped\n"
            f"  (a target is one speaker's), or does it have another form than trial_format: {trial_format}?",
            file=sys.stderr,
        )
    return is_swapped
