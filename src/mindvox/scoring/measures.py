"""Error rates of several score columns: how well they separate, and how good they are as log-likelihood ratios."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mindvox.scoring.metrics import act_dcf, cllr, eer_of, min_cllr_of, min_dcf_of, operating_points, roc_auc_of
from mindvox.terminal import table_lines

P_TARGETS = (0.01, 0.05)


class Measures(NamedTuple):
    """Error rates of one column of scores.

    Attributes:
        eer: equal error rate, a fraction.
        threshold: score at the equal error rate.
        min_dcf, act_dcf: normalised detection cost for each of P_TARGETS, at the best threshold and at Bayes'
            threshold.
        min_cllr, cllr: cost of log-likelihood ratios in bits, after the best monotonic map and as they are.
        roc_auc: area below the ROC.
    """

    eer: float
    threshold: float
    min_dcf: dict[float, float]
    act_dcf: dict[float, float]
    min_cllr: float
    cllr: float
    roc_auc: float


def measure_llr(scores: np.ndarray, is_target: np.ndarray) -> Measures:
    """Compute all measures; act_dcf and cllr take the scores as natural log-likelihood ratios."""
    points = operating_points(scores, is_target)
    return Measures(
        *eer_of(points),
        {p_target: min_dcf_of(points, p_target) for p_target in P_TARGETS},
        {p_target: act_dcf(scores, is_target, p_target) for p_target in P_TARGETS},
        min_cllr_of(points),
        cllr(scores, is_target),
        roc_auc_of(points),
    )


def format_measures(columns: Mapping[str, np.ndarray], is_target: np.ndarray) -> str:
    """Return a table for the terminal, with one line per column of scores.

    actDCF and Cllr treat scores as log-likelihood ratios, which they are only after calibration.
    """
    names = ["EER", *(f"{kind}({p:g})" for p in P_TARGETS for kind in ("minDCF", "actDCF")), "minCllr", "Cllr"]
    rows = [("", *names)]
    for name, scores in columns.items():
        result = measure_llr(scores, is_target)
        costs = [cost for p in P_TARGETS for cost in (result.min_dcf[p], result.act_dcf[p])]
        values = [result.eer, *costs, result.min_cllr, result.cllr]
        rows.append((name, *(f"{value:.4f}" for value in values)))
    return "\n".join(table_lines(rows, right=True))
