import numpy as np
import pytest
from scipy.optimize import minimize

from mindvox.errors import InputError
from mindvox.scoring.calibration import fit_llr
from mindvox.scoring.linear_llr import LinearLlr
from mindvox.scoring.metrics import act_dcf, cllr, min_cllr, min_dcf


def gaussian_scores(num_targets, num_nontargets, seed=0):
    """Scores N(2, 1) of targets and N(-2, 1) of non-targets: the log-likelihood ratio of a score is 4 times it."""
    rng = np.random.default_rng(seed)
    scores = np.concatenate((rng.normal(2, 1, num_targets), rng.normal(-2, 1, num_nontargets)))
    return scores, np.arange(len(scores)) < num_targets


def weighted_cross_entropy(theta, inputs, is_target, p_target):
    """The cost by its formula, in plain terms: no log-domain arithmetic."""
    odds = np.exp(inputs @ theta[:-1] + theta[-1]) * p_target / (1 - p_target)
    targets, nontargets = odds[is_target], odds[~is_target]
    return p_target * np.mean(np.log(1 + 1 / targets)) + (1 - p_target) * np.mean(np.log(1 + nontargets))


@pytest.mark.parametrize("p_target", [0.5, 0.1, 0.9])
def test_known_log_likelihood_ratio_is_found(p_target):
    scores, is_target = gaussian_scores(20_000, 60_000)
    llr = fit_llr(scores[:, None], is_target, ["score"], p_target)
    assert llr.weights[0] == pytest.approx(4, rel=0.05)  # the spread of estimates from so many trials is about 2 %
    assert llr.offset == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("p_target", [0.5, 0.05])
def test_weights_are_where_an_independent_search_finds_the_minimum(p_target):
    scores, is_target = gaussian_scores(40, 90, seed=3)
    inputs = np.column_stack((scores / 3 + 100, scores + np.random.default_rng(0).normal(size=len(scores))))
    found = fit_llr(inputs, is_target, ["a", "b"], p_target)
    shift = np.array([100, 0])
    search = minimize(
        weighted_cross_entropy,
        np.zeros(3),
        (inputs - shift, is_target, p_target),
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-14, "maxiter": 20_000, "maxfev": 20_000},
    )
    expected = [*search.x[:2], search.x[2] - search.x[:2] @ shift]
    np.testing.assert_allclose([*found.weights, found.offset], expected, rtol=1e-4)


def test_ridge_solution_has_the_slope_of_its_penalty():
    scores, is_target = gaussian_scores(40, 90, seed=3)
    llr = fit_llr(scores[:, None], is_target, ["score"], ridge=0.1)
    step, std = 1e-6, scores.std()
    theta = np.array([*llr.weights, llr.offset])
    # In the weight of the standardised score, its mean kept in place by the offset.
    direction = np.array([1 / std, -scores.mean() / std])
    costs = [
        weighted_cross_entropy(theta + sign * step * direction, scores[:, None], is_target, 0.5) for sign in (1, -1)
    ]
    assert (costs[0] - costs[1]) / (2 * step) == pytest.approx(-0.1 * llr.weights[0] * std, rel=1e-5)
    offset_costs = [
        weighted_cross_entropy(theta + [0, sign * step], scores[:, None], is_target, 0.5) for sign in (1, -1)
    ]
    assert (offset_costs[0] - offset_costs[1]) / (2 * step) == pytest.approx(0, abs=1e-7)  # it has no penalty


def test_number_of_targets_plays_no_part():
    scores, is_target = gaussian_scores(50, 50)
    more = np.concatenate((scores, np.repeat(scores[~is_target], 9)))
    few, many = (fit_llr(values[:, None], np.arange(len(values)) < 50, ["score"]) for values in (scores, more))
    np.testing.assert_allclose([*few.weights, few.offset], [*many.weights, many.offset], rtol=1e-6)


@pytest.mark.parametrize(("factor", "shift"), [(1e-4, 5), (3e5, -1e6), (-2, 0)])
def test_llr_does_not_depend_on_the_unit_of_the_score(factor, shift):
    scores, is_target = gaussian_scores(60, 200)
    expected = fit_llr(scores[:, None], is_target, ["score"])(scores[:, None])
    changed = factor * scores[:, None] + shift
    np.testing.assert_allclose(fit_llr(changed, is_target, ["score"])(changed), expected, rtol=1e-5, atol=1e-5)


def test_calibration_of_a_bad_scale_reaches_nearly_the_least_cllr():
    scores, is_target = gaussian_scores(3000, 9000)
    bad = scores * 0.01 + 3
    llrs = fit_llr(bad[:, None], is_target, ["score"])(bad[:, None])
    assert cllr(bad, is_target) > 1
    assert cllr(llrs, is_target) < 1.1 * min_cllr(bad, is_target)
    assert act_dcf(llrs, is_target, 0.05) < 1.1 * min_dcf(bad, is_target, 0.05)


def test_fusion_of_two_noisy_systems_is_better_than_both():
    scores, is_target = gaussian_scores(2000, 6000)
    noise = np.random.default_rng(1).normal(size=(len(scores), 2))
    inputs = scores[:, None] + noise * [1, 2]
    llrs = fit_llr(inputs, is_target, ["a", "b"])(inputs)
    assert min_cllr(llrs, is_target) < 0.97 * min(min_cllr(inputs[:, column], is_target) for column in (0, 1))


@pytest.mark.parametrize(
    "scores",
    [[-2, -1, 1, 2], [-1, 0, 0, 1], [2, 1, -1, -2], [-1e-9, 0, 1e-9, 2e-9]],
    ids=["gap", "tie", "turned", "close"],
)
def test_separated_trials_are_refused_and_ridge_helps(scores):
    inputs, is_target = np.array(scores, dtype=float)[:, None], np.array([False, False, True, True])
    with pytest.raises(InputError, match="separates targets .* --ridge"):
        fit_llr(inputs, is_target, ["score"])
    llrs = fit_llr(inputs, is_target, ["score"], ridge=0.01)(inputs)
    assert np.isfinite(llrs).all()
    assert llrs[2:].min() >= llrs[:2].max()


def test_trials_that_two_inputs_separate_together_are_refused():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(400, 2))
    is_target = inputs @ [1, -1] > 0.2
    with pytest.raises(InputError, match="separates targets"):
        fit_llr(inputs, is_target, ["a", "b"])


def test_ties_on_the_border_of_two_inputs_are_refused():
    # b separates all but those with b = 0; among these a helps, with errors.
    targets = [[0, 1], [1, 1], [0, 0], [1, 0], [1, 0]]
    nontargets = [[0, 0], [0, 0], [1, 0], [0, -1], [1, -1]]
    inputs, is_target = np.array(targets + nontargets, dtype=float), np.arange(10) < 5
    with pytest.raises(InputError, match="separates targets"):
        fit_llr(inputs, is_target, ["a", "b"])


def test_one_trial_on_the_wrong_side_is_enough():
    inputs, is_target = np.array([[-1.0], [0.1], [0.0], [1.0]]), np.array([False, False, True, True])
    assert fit_llr(inputs, is_target, ["score"]).weights[0] > 1


def test_constant_and_dependent_inputs_are_named():
    scores, is_target = gaussian_scores(30, 30)
    noise = np.random.default_rng(0).normal(size=60)
    with pytest.raises(InputError, match="duration min: the same for all trials"):
        fit_llr(np.column_stack((scores, np.full(60, 3.01))), is_target, ["score", "duration min"])
    with pytest.raises(InputError, match="a, c: one is a weighted sum"):
        fit_llr(np.column_stack((scores, noise, 2 * scores + 1)), is_target, ["a", "b", "c"])


@pytest.mark.parametrize("is_target", [np.ones(4, bool), np.zeros(4, bool)])
def test_trials_of_one_kind_are_refused(is_target):
    with pytest.raises(InputError, match="needs target and non-target"):
        fit_llr(np.arange(4.0)[:, None], is_target, ["score"])


@pytest.mark.parametrize(("p_target", "ridge"), [(0, 0), (1, 0), (0.5, -1)])
def test_impossible_options_are_refused(p_target, ridge):
    with pytest.raises(ValueError, match="p_target"):
        fit_llr(np.arange(4.0)[:, None], np.array([0, 1, 0, 1], bool), ["score"], p_target, ridge)


def test_formula_shows_signs():
    assert LinearLlr(("a", "b min"), (2.5, -1.0), -3.0).formula() == "llr = 2.5 * a - 1 * b min - 3"
