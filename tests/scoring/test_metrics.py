import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindvox.errors import InputError
from mindvox.scoring.metrics import (
    act_dcf,
    cllr,
    eer,
    eer_speechbrain,
    eer_voxceleb_trainer,
    min_cllr,
    min_dcf,
    operating_points,
    roc_auc,
    threshold_at_false_alarm_rate,
)


def random_trials(seed, num_trials=400, ties=False):
    rng = np.random.default_rng(seed)
    is_target = rng.random(num_trials) < 0.3
    scores = rng.normal(size=num_trials) + 1.5 * is_target
    return (np.round(scores, 1) if ties else scores), is_target


def error_rates(scores, is_target):
    """Miss and false-alarm rates at every threshold, by counting in a loop, the strictest threshold first."""
    thresholds = [np.inf, *sorted(set(scores), reverse=True)]
    return [
        (np.mean(scores[is_target] < threshold), np.mean(scores[~is_target] >= threshold)) for threshold in thresholds
    ]


def eer_by_loop(scores, is_target):
    points = error_rates(scores, is_target)
    for (miss, false_alarm), (next_miss, next_false_alarm) in zip(points[:-1], points[1:], strict=True):
        if next_miss <= next_false_alarm:
            share = (miss - false_alarm) / ((miss - false_alarm) + (next_false_alarm - next_miss))
            return false_alarm + share * (next_false_alarm - false_alarm)
    raise AssertionError("the rates never cross")


def test_eer_is_the_common_error_rate_of_a_hand_made_list():
    scores = np.array([0.9, 0.8, 0.7, 0.3, 0.6, 0.4, 0.2, 0.1])
    is_target = np.array([1, 1, 1, 1, 0, 0, 0, 0], dtype=bool)
    # Accepting 0.6 and above: 1 of 4 targets missed, 1 of 4 non-targets accepted.
    assert eer(scores, is_target) == (0.25, pytest.approx(0.5))


def test_eer_interpolates_between_operating_points():
    # Accept 3, then 2: miss rate 1/2, false-alarm rate 0, then 1/2 and 1/3, then (accepting 1) 0 and 1/3.
    # On the last step the miss rate falls from 1/2 to 0 at a false-alarm rate of 1/3: they cross at 1/3.
    scores = np.array([3.0, 1.0, 2.0, 0.0, -1.0])
    is_target = np.array([True, True, False, False, False])
    result = eer(scores, is_target)
    assert result.eer == pytest.approx(1 / 3)
    assert result.threshold == pytest.approx(1.5 + (1 / 2 - 1 / 3) / (1 / 2) * (0.5 - 1.5))


def test_eer_is_zero_and_the_threshold_between_when_scores_separate():
    result = eer(np.array([0.8, 0.6, 0.2, -0.5]), np.array([True, True, False, False]))
    assert result == (0.0, pytest.approx(0.4))


def test_eer_is_one_when_all_scores_are_on_the_wrong_side():
    assert eer(np.array([0.1, 0.2, 0.8, 0.9]), np.array([True, True, False, False])).eer == 1.0


def test_eer_is_half_when_all_scores_are_tied():
    assert eer(np.full(7, 0.3), np.arange(7) < 2) == (pytest.approx(0.5), pytest.approx(0.3))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_eer_equals_a_loop_over_thresholds(seed, ties):
    scores, is_target = random_trials(seed, ties=ties)
    assert eer(scores, is_target).eer == pytest.approx(eer_by_loop(scores, is_target), abs=1e-12)


@pytest.mark.parametrize("p_target", [0.01, 0.05, 0.5, 0.9])
@pytest.mark.parametrize("ties", [False, True])
def test_min_dcf_equals_a_loop_over_thresholds(p_target, ties):
    scores, is_target = random_trials(1, ties=ties)
    costs = [10 * p_target * miss + 2 * (1 - p_target) * fa for miss, fa in error_rates(scores, is_target)]
    expected = min(costs) / min(10 * p_target, 2 * (1 - p_target))
    assert min_dcf(scores, is_target, p_target, c_miss=10, c_fa=2) == pytest.approx(expected, abs=1e-12)


def test_min_dcf_of_a_hand_made_list():
    scores = np.array([0.9, 0.8, 0.5, 0.6, 0.1, 0.0])
    is_target = np.array([True, True, True, False, False, False])
    # Accepting 0.8 and above misses 1 target of 3 and costs 0.01 / 3; accepting 0.5 costs 0.99 / 3 instead.
    assert min_dcf(scores, is_target, 0.01) == pytest.approx(1 / 3)


def test_min_dcf_is_zero_when_scores_separate_and_one_when_they_say_nothing():
    is_target = np.array([True, True, False, False])
    assert min_dcf(np.array([4.0, 3.0, 2.0, 1.0]), is_target, 0.01) == 0
    assert min_dcf(np.ones(4), is_target, 0.01) == 1
    assert min_dcf(np.array([1.0, 2.0, 3.0, 4.0]), is_target, 0.01) == 1


@pytest.mark.parametrize("ties", [False, True])
def test_rates_do_not_depend_on_order_or_monotone_maps(ties):
    scores, is_target = random_trials(2, ties=ties)
    order = np.random.default_rng(0).permutation(len(scores))
    expected = eer(scores, is_target).eer, min_dcf(scores, is_target, 0.05)
    for changed in (3 * scores - 7, np.exp(scores), np.arctan(scores)):
        assert (eer(changed, is_target).eer, min_dcf(changed, is_target, 0.05)) == expected
    assert (eer(scores[order], is_target[order]).eer, min_dcf(scores[order], is_target[order], 0.05)) == expected


@pytest.mark.parametrize("ties", [False, True])
def test_eer_is_the_same_with_both_signs_and_labels_swapped(ties):
    scores, is_target = random_trials(3, ties=ties)
    result, swapped = eer(scores, is_target), eer(-scores, ~is_target)
    assert swapped.eer == pytest.approx(result.eer, abs=1e-12)
    assert swapped.threshold == pytest.approx(-result.threshold, abs=1e-12)


def test_eer_of_negated_scores_is_the_rest():
    scores, is_target = random_trials(4)
    assert eer(-scores, is_target).eer == pytest.approx(1 - eer(scores, is_target).eer, abs=1e-12)


def test_eer_threshold_gives_the_eer_on_both_kinds_of_trials():
    scores, is_target = random_trials(5, num_trials=20000)
    result = eer(scores, is_target)
    assert np.mean(scores[is_target] < result.threshold) == pytest.approx(result.eer, abs=1e-3)
    assert np.mean(scores[~is_target] >= result.threshold) == pytest.approx(result.eer, abs=1e-3)


def test_tied_scores_are_one_operating_point():
    points = operating_points(np.array([1.0, 1.0, 0.0]), np.array([True, False, True]))
    np.testing.assert_array_equal(points.thresholds, [1.0, 0.5, 0.0])
    np.testing.assert_array_equal(points.num_misses, [2, 1, 0])
    np.testing.assert_array_equal(points.num_false_alarms, [0, 1, 1])


@pytest.mark.parametrize(
    ("scores", "is_target", "message"),
    [
        ([0.1, np.nan, 0.2], [True, False, True], "1 of 3 scores are NaN or infinite; the first is of trial 2"),
        ([np.inf, 0.0], [True, False], "the first is of trial 1"),
        ([], [], "got 0 and 0"),
        ([0.1, 0.2], [True, True], "got 2 and 0"),
        ([0.1, 0.2], [False, False], "got 0 and 2"),
        ([0.1, 0.2], [True], r"got shapes \(2,\) and \(1,\)"),
    ],
)
def test_wrong_scores_are_refused(scores, is_target, message):
    for metric in (eer, lambda *arguments: min_dcf(*arguments, p_target=0.01)):
        with pytest.raises(InputError, match=message):
            metric(np.array(scores), np.array(is_target, dtype=bool))


@pytest.mark.parametrize("arguments", [(0.0, 1, 1), (1.0, 1, 1), (0.5, 0, 1), (0.5, 1, -1)])
def test_impossible_costs_are_refused(arguments):
    with pytest.raises(ValueError, match="p_target"):
        min_dcf(np.array([1.0, 0.0]), np.array([True, False]), *arguments)


REFERENCE = np.load(Path(__file__).parent / "reference" / "metrics.npz")
EXPECTED = json.loads(str(REFERENCE["expected"]))  # made by reference/make_metrics_reference.py


@pytest.mark.parametrize("case", range(len(EXPECTED["cases"])))
def test_metrics_equal_speechbrains_and_scikit_learns(case):
    scores, is_target = REFERENCE[f"scores_{case}"], REFERENCE[f"is_target_{case}"]
    expected = EXPECTED["cases"][case]
    points = operating_points(scores, is_target)
    assert eer(scores, is_target).eer == pytest.approx(expected["brentq_eer"], abs=1e-9)
    assert eer_voxceleb_trainer(points) == pytest.approx(expected["voxceleb_trainer_eer"], abs=1e-12)
    assert eer_speechbrain(points) == pytest.approx(expected["speechbrain_eer"], abs=1e-6)  # its rates are float32
    p_target = EXPECTED["p_target"]  # SpeechBrain does not divide by the better blind answer, here p_target
    assert min_dcf(scores, is_target, p_target) * p_target == pytest.approx(expected["speechbrain_min_dcf"], abs=1e-7)
    assert roc_auc(scores, is_target) == pytest.approx(expected["auc"], abs=1e-12)
    assert min_cllr(scores, is_target) == pytest.approx(expected["min_cllr"], abs=1e-7)


def test_cllr_of_a_hand_made_list():
    # Targets at odds 3 and 1, non-targets at odds 1/3: log2(4/3) and log2(2) on one side, log2(4/3) on the other.
    llrs = np.log([3.0, 1.0, 1 / 3])
    assert cllr(llrs, np.array([True, True, False])) == pytest.approx(((np.log2(4 / 3) + 1) / 2 + np.log2(4 / 3)) / 2)


def test_cllr_of_gaussian_scores_is_its_integral():
    # Scores N(+-m, 2m) are their own log-likelihood ratios, and both kinds cost E log2(1 + exp(-x)), x ~ N(m, 2m).
    mean = 2.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    expected = np.sum(weights * np.logaddexp(0, -(mean + np.sqrt(2 * mean) * nodes))) / weights.sum() / np.log(2)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=200_000) * np.sqrt(2 * mean)
    is_target = np.arange(len(noise)) % 2 == 0
    llrs = np.where(is_target, mean, -mean) + noise
    assert cllr(llrs, is_target) == pytest.approx(expected, abs=0.004)
    assert min_cllr(llrs, is_target) == pytest.approx(expected, abs=0.004)
    assert act_dcf(llrs, is_target, 0.1) == pytest.approx(min_dcf(llrs, is_target, 0.1), abs=0.01)


def test_scores_that_say_nothing_cost_one_bit_and_right_ones_none():
    is_target = np.array([True, True, False, False])
    assert cllr(np.zeros(4), is_target) == pytest.approx(1)
    assert min_cllr(np.zeros(4), is_target) == pytest.approx(1)
    assert min_cllr(np.array([4.0, 3.0, 2.0, 1.0]), is_target) == 0
    assert min_cllr(np.array([1.0, 2.0, 3.0, 4.0]), is_target) == pytest.approx(1)
    assert cllr(np.array([800.0, 800.0, -800.0, -800.0]), is_target) == 0
    assert np.isfinite(cllr(np.array([-1e300, 1, 1e300, 0]), is_target))


def test_act_dcf_uses_the_threshold_that_the_costs_give():
    is_target = np.array([True, True, True, False, False])
    llrs = np.array([5.0, 4.5, -1.0, 4.55, -2.0])
    # p_target 0.01: accept from log(99) = 4.595 on: one target of three is accepted, no non-target.
    assert act_dcf(llrs, is_target, 0.01) == pytest.approx(2 / 3)
    # Costs 99 and 1 at 0.01 accept from 0 on: one target of three is missed, one non-target of two accepted.
    assert act_dcf(llrs, is_target, 0.01, c_miss=99) == pytest.approx(1 / 3 + 1 / 2)
    assert act_dcf(np.full(2, np.log(99)), np.array([True, False]), 0.01) == pytest.approx(99)  # at it is accepted


def test_threshold_at_a_false_alarm_rate_is_the_most_lenient_one():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.5, 0.1])
    is_target = np.array([True, False, True, False, False, True, False])
    assert threshold_at_false_alarm_rate(scores, is_target, 0.25) == (0.7, pytest.approx(1 / 3), 0.25)
    assert threshold_at_false_alarm_rate(scores, is_target, 0.49) == (0.7, pytest.approx(1 / 3), 0.25)
    assert threshold_at_false_alarm_rate(scores, is_target, 0.0) == (0.9, pytest.approx(2 / 3), 0.0)
    assert threshold_at_false_alarm_rate(scores, is_target, 1.0) == (0.1, 0.0, 1.0)
    strictest = threshold_at_false_alarm_rate(-scores, is_target, 0.1)
    assert strictest.threshold > -0.1 and strictest[1:] == (1.0, 0.0)


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(ValueError, match="rate"):
        threshold_at_false_alarm_rate(np.array([1.0, 0.0]), np.array([True, False]), rate)


FINITE = st.floats(-1e6, 1e6, allow_nan=False, width=32)


@st.composite
def trials(draw):
    scores = draw(st.lists(st.one_of(FINITE, st.sampled_from([0.0, 0.5, 1.0])), min_size=2, max_size=60))
    is_target = draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    is_target[:2] = True, False
    return np.array(scores, dtype=np.float64), np.array(is_target)


def by_order(scores, is_target):
    """The numbers that depend on the order of scores alone."""
    points = operating_points(scores, is_target)
    rates = (eer(scores, is_target).eer, min_dcf(scores, is_target, 0.05), min_dcf(scores, is_target, 0.3, 5, 2))
    others = (roc_auc(scores, is_target), min_cllr(scores, is_target))
    return (*rates, *others, eer_voxceleb_trainer(points), eer_speechbrain(points))


@settings(max_examples=150, deadline=None)
@given(trials(), st.integers(0, 2**32))
def test_order_of_trials_and_rising_maps_change_nothing(listed, seed):
    scores, is_target = listed
    order = np.random.default_rng(seed).permutation(len(scores))
    ranks = np.unique(scores, return_inverse=True)[1]
    expected = by_order(scores, is_target)
    assert by_order(scores[order], is_target[order]) == pytest.approx(expected, abs=1e-12)
    assert by_order(np.exp(ranks / 10.0), is_target) == pytest.approx(expected, abs=1e-12)
    assert cllr(scores[order], is_target[order]) == pytest.approx(cllr(scores, is_target), rel=1e-12)


@settings(max_examples=150, deadline=None)
@given(trials())
def test_swapping_the_kinds_and_the_sign_changes_nothing(listed):
    scores, is_target = listed
    assert eer(-scores, ~is_target).eer == pytest.approx(eer(scores, is_target).eer, abs=1e-12)
    assert roc_auc(-scores, ~is_target) == pytest.approx(roc_auc(scores, is_target), abs=1e-12)
    assert min_cllr(-scores, ~is_target) == pytest.approx(min_cllr(scores, is_target), abs=1e-9)
    assert cllr(-scores, ~is_target) == pytest.approx(cllr(scores, is_target), rel=1e-12)


@settings(max_examples=150, deadline=None)
@given(trials())
def test_least_costs_are_below_actual_ones_and_in_their_range(listed):
    scores, is_target = listed
    assert -1e-12 <= min_cllr(scores, is_target) <= min(1, cllr(scores, is_target)) + 1e-9
    for p_target in (0.01, 0.5, 0.9):
        assert 0 <= min_dcf(scores, is_target, p_target) <= min(1, act_dcf(scores, is_target, p_target)) + 1e-12
