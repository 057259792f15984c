"""Log-likelihood ratios from scores by logistic regression: calibration of one system, fusion of several.

N. Brümmer, J. du Preez 2006 ("Application-independent evaluation of speaker detection") and N. Brümmer et al. 2007
("Fusion of heterogeneous speaker recognition systems in the STBU submission for the NIST SRE 2006").
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog, minimize
from scipy.special import expit, logit

from mindvox.errors import InputError
from mindvox.scoring.linear_llr import LinearLlr

# Inputs are standardised, so that these constants do not depend on their units.
GRADIENT_TOLERANCE = 1e-9
LEAST_CURVATURE = 1e-6  # below, the minimum may lie at infinity, so separability is checked
LEAST_VARIANCE = 1e-10  # of a combination of inputs; below, it is rounding


def fit_llr(
    inputs: np.ndarray, is_target: np.ndarray, names: Sequence[str], p_target: float = 0.5, ridge: float = 0.0
) -> LinearLlr:
    """Fit weights and offset by prior-weighted logistic regression.

    The minimised loss is p_target * mean over targets of log(1 + exp(-a)) + (1 - p_target) * mean over non-targets of
    log(1 + exp(a)), where a = llr + log(p_target / (1 - p_target)). With p_target = 0.5 it is Cllr * log(2). The
    number of targets among the trials has no effect.

    Args:
        inputs: finite numbers (T, M); inputs that are higher for the same speaker get positive weights.
        is_target: truth of each trial (T,).
        names: names of the M inputs, for the result and for errors.
        p_target: effective prior, c_miss * p / (c_miss * p + c_fa * (1 - p)), to optimise for.
        ridge: penalty ridge / 2 * sum of squared weights of standardised inputs; 0 for none.

    Raises:
        InputError: all trials are of one kind, an input is constant or a sum of others, or some sum of the inputs
            separates the trials without error, so that the best weights are infinite.
    """
    if not (0 < p_target < 1 and ridge >= 0):
        raise ValueError(f"`p_target` must lie in (0, 1) and `ridge` be at least 0, got {p_target} and {ridge}.")
    is_target = np.asarray(is_target, dtype=bool)
    num_targets = int(np.count_nonzero(is_target))
    if not 0 < num_targets < len(is_target):
        raise InputError(
            f"calibration needs target and non-target trials, got {num_targets} and {len(is_target) - num_targets}."
        )
    mean, std = inputs.mean(axis=0), inputs.std(axis=0)
    _check_independent(inputs, mean, std, names)
    design = np.column_stack(((inputs - mean) / std, np.ones(len(inputs))))
    solution = _minimise(design, is_target, p_target, ridge)
    weights = solution[:-1] / std
    return LinearLlr(tuple(names), tuple(map(float, weights)), float(solution[-1] - weights @ mean))


def _check_independent(inputs: np.ndarray, mean: np.ndarray, std: np.ndarray, names: Sequence[str]) -> None:
    constant = [name for name, spread in zip(names, np.ptp(inputs, axis=0), strict=True) if spread == 0]
    if constant:
        raise InputError(f"{', '.join(constant)}: the same for all trials, which carries no information. Leave it out.")
    values, vectors = np.linalg.eigh(np.cov(((inputs - mean) / std).T, ddof=0).reshape(len(names), len(names)))
    if values[0] < LEAST_VARIANCE:
        involved = [name for name, part in zip(names, vectors[:, 0], strict=True) if abs(part) > 1e-3]
        raise InputError(
            f"{', '.join(involved)}: one is a weighted sum of the others, which leaves its weight open. Leave it out."
        )


def _minimise(design: np.ndarray, is_target: np.ndarray, p_target: float, ridge: float) -> np.ndarray:
    """Return the coefficients of the design's columns (T, M + 1); the last is the offset."""
    sign = np.where(is_target, 1.0, -1.0)
    num_targets = np.count_nonzero(is_target)
    trial_weight = np.where(is_target, p_target / num_targets, (1 - p_target) / (len(sign) - num_targets))
    penalty = np.append(np.full(design.shape[1] - 1, ridge), 0.0)
    prior = logit(p_target)

    def cost(theta: np.ndarray) -> float:
        log_odds = design @ theta + prior
        return float(trial_weight @ np.logaddexp(0, -sign * log_odds) + penalty @ theta**2 / 2)

    def gradient(theta: np.ndarray) -> np.ndarray:
        log_odds = design @ theta + prior
        return -design.T @ (trial_weight * sign * expit(-sign * log_odds)) + penalty * theta

    def hessian(theta: np.ndarray) -> np.ndarray:
        probability = expit(design @ theta + prior)
        curvature = trial_weight * probability * (1 - probability)
        return design.T @ (curvature[:, None] * design) + np.diag(penalty)

    start = np.zeros(design.shape[1])
    found = minimize(
        cost, start, method="trust-exact", jac=gradient, hess=hessian, options={"gtol": GRADIENT_TOLERANCE}
    )
    flat = np.linalg.eigvalsh(hessian(found.x))[0] < LEAST_CURVATURE
    if flat and not ridge and _separable(design, sign, found.x):
        raise InputError(
            "a weighted sum of the inputs separates targets from non-targets without an error: the best weights are "
            "infinite. Give more trials or harder ones, or --ridge 0.001, which keeps the weights small."
        )
    # Rounding can stop the search just short of the tolerance.
    if not found.success and np.abs(gradient(found.x)).max() > 1e-6:
        raise InputError(f"logistic regression did not converge: {found.message} Give --ridge 0.001.")
    return found.x


def _separable(design: np.ndarray, sign: np.ndarray, theta: np.ndarray) -> bool:
    """Return whether some coefficients put no trial on the wrong side and at least one off the border (Konis 2007).

    Quasi-complete separation, with ties on the border, counts: it makes weights infinite as well.

    Args:
        design: inputs and a column of ones (T, M + 1).
        sign: 1 for targets, -1 for non-targets (T,).
        theta: coefficients to try before the linear program, which takes long for many trials.
    """
    scores = design[:, :-1] @ theta[:-1]
    if scores[sign > 0].min() >= scores[sign < 0].max():
        return True
    sides = sign[:, None] * design
    best = linprog(-sides.sum(axis=0), A_ub=-sides, b_ub=np.zeros(len(sides)), bounds=(-1, 1))
    return bool(best.status == 0 and -best.fun > 1e-6)
