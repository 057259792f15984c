import numpy as np
import pytest

from mindvox.errors import InputError
from mindvox.scoring.bootstrap import speaker_intervals
from mindvox.scoring.metrics import eer, min_dcf

P_TARGETS = (0.05, 0.5)


def make_trials(seed, num_speakers=30, utts_each=4):
    """All pairs of utterances; a speaker has a loudness of his own, which makes his trials go together."""
    rng = np.random.default_rng(seed)
    speaker = np.repeat(np.arange(num_speakers), utts_each)
    first, second = np.triu_indices(len(speaker), 1)
    is_target = speaker[first] == speaker[second]
    offset = rng.normal(size=num_speakers)
    noise = rng.normal(size=len(first))
    scores = 2.5 * is_target + 0.7 * (offset[speaker[first]] + offset[speaker[second]]) * (1 - 0.3 * is_target) + noise
    return scores, is_target, speaker[first], speaker[second]


def by_repeated_trials(trials, num_draws, seed):
    """The same draws, a trial of multiplicity n written n times, and the metrics' own definitions."""
    scores, is_target, first, second = trials
    present = np.unique((first, second))
    rates = []
    for number in range(num_draws):
        rng = np.random.default_rng((seed, number))
        while True:
            times = dict(zip(present, rng.multinomial(len(present), [1 / len(present)] * len(present)), strict=True))
            pairs = zip(first, second, strict=True)
            often = np.array([times[a] if a == b else times[a] * times[b] for a, b in pairs])
            drawn, truth = np.repeat(scores, often), np.repeat(is_target, often)
            if truth.any() and not truth.all():
                break
        rates.append([eer(drawn, truth).eer, *(min_dcf(drawn, truth, p_target) for p_target in P_TARGETS)])
    return np.quantile(rates, (0.025, 0.975), axis=0).T


@pytest.mark.parametrize("num_speakers", [2, 3, 12])
@pytest.mark.parametrize("has_ties", [False, True])
def test_intervals_equal_those_of_trials_written_as_often_as_drawn(num_speakers, has_ties):
    scores, *others = make_trials(num_speakers, num_speakers)
    trials = (np.round(scores) if has_ties else scores, *others)
    intervals = speaker_intervals(*trials, P_TARGETS, num_draws=40, seed=3)
    expected = by_repeated_trials(trials, 40, 3)
    np.testing.assert_allclose(intervals.eer, expected[0], atol=1e-12)
    np.testing.assert_allclose([intervals.min_dcf[p_target] for p_target in P_TARGETS], expected[1:], atol=1e-12)
    assert intervals[2:] == (num_speakers, 40)


def test_speakers_without_trials_do_not_count():
    scores, is_target, first, second = make_trials(0, 5)
    intervals = speaker_intervals(scores, is_target, first, second, P_TARGETS, 20, 0)
    assert speaker_intervals(scores, is_target, 3 * first + 1, 3 * second + 1, P_TARGETS, 20, 0) == intervals


def test_seed_decides():
    first, again, other = (speaker_intervals(*make_trials(1), P_TARGETS, 50, seed) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.slow
def test_intervals_hold_the_true_rate_about_as_often_as_they_say():
    true_rate = np.mean([eer(*make_trials(seed, 60)[:2]).eer for seed in range(1000, 1200)])
    held = 0
    for seed in range(200):
        low, high = speaker_intervals(*make_trials(seed, 60), P_TARGETS, 200, seed).eer
        held += low <= true_rate <= high
    assert 0.88 <= held / 200 <= 0.99  # 95 %, less the bias of percentile intervals with 60 speakers


def test_wrong_scores_are_refused():
    with pytest.raises(InputError, match="NaN"):
        speaker_intervals(
            np.array([np.nan, 1]), np.array([True, False]), np.zeros(2, int), np.ones(2, int), (0.5,), 5, 0
        )
