"""Results in the words of other toolkits, and their numbers by their own rules."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from mindvox.config import sections
from mindvox.scoring import metrics
from mindvox.scoring.peer_lines import PEERS, peer_lines, threshold_mvector

REFERENCE = Path(__file__).parent / "reference"
CASES = json.loads((REFERENCE / "mvector.json").read_text())["cases"]
# Targets at 0.9, 0.8, 0.7, 0.3, non-targets at 0.6, 0.4, 0.2, 0.1: one miss and one false alarm at 0.6, EER 1/4.
SCORES = np.array([0.9, 0.8, 0.7, 0.3, 0.6, 0.4, 0.2, 0.1])
IS_TARGET = np.array([1, 1, 1, 1, 0, 0, 0, 0], bool)


def scored_case(case):
    arrays = np.load(REFERENCE / "metrics.npz")
    return arrays[f"scores_{case}"], arrays[f"is_target_{case}"]


@pytest.mark.parametrize("case", CASES)
def test_numbers_are_those_of_mvectors_own_functions(case):
    scores, is_target = scored_case(case)
    expected = CASES[case]
    assert metrics.eer(scores, is_target).eer == pytest.approx(expected["eer"], abs=1e-12)
    assert threshold_mvector(scores, is_target).threshold == expected["threshold"]
    # mvector never rejects nothing and accepts all: that costs 99 at p = 0.01, never the least.
    assert metrics.min_dcf(scores, is_target, 0.01) == pytest.approx(expected["dcf"], abs=1e-12)


def test_rates_at_mvectors_threshold_are_those_of_what_lies_above_it():
    scores, is_target = scored_case(1)  # with ties
    found = threshold_mvector(scores, is_target)
    assert found.miss_rate == np.mean(scores[is_target] <= found.threshold)
    assert found.false_alarm_rate == np.mean(scores[~is_target] > found.threshold)
    assert found.miss_rate >= found.false_alarm_rate
    lower = np.max(scores[scores < found.threshold])
    assert np.mean(scores[is_target] <= lower) < np.mean(scores[~is_target] > lower)


def min_dcf_voxceleb_trainer(scores, labels, p_target):
    """What ComputeErrorRates and ComputeMinDcf of its tuneThreshold.py compute, trial by trial."""
    rejected_targets = rejected_nontargets = 0
    least = np.inf
    for _, label in sorted(zip(scores, labels, strict=True), key=lambda trial: trial[0]):
        rejected_targets, rejected_nontargets = rejected_targets + label, rejected_nontargets + 1 - label
        miss, false_alarm = rejected_targets / sum(labels), 1 - rejected_nontargets / (len(labels) - sum(labels))
        least = min(least, miss * p_target + false_alarm * (1 - p_target))
    return least / min(p_target, 1 - p_target)


@pytest.mark.parametrize("case", [0, 2, 4])
def test_min_dcf_is_that_of_voxceleb_trainers_rule(case):
    scores, is_target = scored_case(case)
    expected = min_dcf_voxceleb_trainer(scores.tolist(), is_target.astype(int).tolist(), 0.05)
    assert metrics.min_dcf(scores, is_target, 0.05) == pytest.approx(expected, abs=1e-12)


def test_lines_have_the_form_of_each_toolkit():
    # At p = 0.05 and 0.01 the least cost is that of accepting 0.7 and above: 1/4 of the targets are missed.
    lines = {name: peer_lines(name, {"baseline": SCORES}, "none", IS_TARGET, 65.9) for name in PEERS}
    assert lines["mvector"] == ["评估消耗时间：65s，threshold：0.40，EER: 0.25000, MinDCF: 0.25000"]
    when, line = lines["voxceleb_trainer"][0].split(" VEER ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", when) and line == "25.0000 MinDCF 0.25000"
    assert lines["rawnet2"] == ["TA_eval_eer:0.2500"]
    assert lines["wespeaker"] == ["EER = 25.000", "minDCF (p_target:0.01 c_miss:1 c_fa:1) = 0.250"]
    assert lines["speechbrain"] == ["EER(%)=25.000000", "minDCF=0.250000"]


def test_each_toolkit_prints_the_kind_of_score_that_it_has():
    perfect = np.where(IS_TARGET, 2.0, 1.0)
    scores = {"baseline": SCORES, "sub mean": -SCORES, "s-norm": perfect}
    lines = {name: peer_lines(name, scores, "s-norm", IS_TARGET, 1.0) for name in PEERS}
    assert lines["rawnet2"] == ["TA_eval_eer:0.2500"] and "EER: 0.25000" in lines["mvector"][0]
    assert lines["wespeaker"][::3] == ["---- sub mean -----", "---- s-norm -----"]
    assert lines["wespeaker"][1::3] == ["EER = 75.000", "EER = 0.000"]
    assert lines["speechbrain"][0] == "EER(%)=0.000000"


def test_the_key_knows_every_toolkit():
    assert tuple(PEERS) == sections.PEERS
