"""The fit of a calibration of pairs, on made-up embeddings."""

import numpy as np
import pytest

from mindvox.errors import InputError
from mindvox.pair_fit import (
    Pairs,
    apply,
    bands_of,
    cross_validate,
    draw_pairs,
    fit_pairs,
    rates_shown,
    speakers_needed,
)
from mindvox.scoring.linear_llr import LinearLlr
from mindvox.scoring.metrics import cllr
from mindvox.speech.quality import Quality

NUM_SPEAKERS, RECORDINGS, EMB_SIZE = 12, 6, 8


def quality(net_speech_s=4.0, snr_db=20.0, bandwidth_hz=8000.0):
    return Quality(net_speech_s + 1, net_speech_s, -25.0, 0.0, snr_db, bandwidth_hz)


@pytest.fixture(scope="module")
def people():
    """Embeddings, qualities and speakers; with less speech, an embedding is farther from its speaker's direction."""
    rng = np.random.default_rng(3)
    speakers = np.repeat(np.arange(NUM_SPEAKERS), RECORDINGS)
    lengths = rng.uniform(1.0, 8.0, len(speakers))
    voices = rng.standard_normal((NUM_SPEAKERS, EMB_SIZE))
    changes = rng.standard_normal((len(speakers), EMB_SIZE)) * (1.5 / np.sqrt(lengths))[:, None]
    return voices[speakers] + changes, [quality(length) for length in lengths], speakers


def test_pairs_are_of_all_recordings_or_of_the_given_ones():
    embeddings = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 2.0]])
    qualities = [quality(2.0, 5.0), quality(4.0, 30.0), quality(8.0, 20.0)]
    pairs = Pairs.of(embeddings, qualities, np.array([7, 7, 9]))
    np.testing.assert_allclose(pairs.inputs, [[0.6, 1, 5], [0, 1, 5], [0.8, 2, 20]], atol=1e-12)
    assert pairs.is_target.tolist() == [True, False, False]
    assert pairs.speakers.tolist() == [[7, 7], [7, 9], [7, 9]]
    assert pairs.among(np.array([7])).inputs.tolist() == [pairs.inputs[0].tolist()]
    one = Pairs.of(embeddings, qualities, np.array([7, 7, 9]), np.array([2]), np.array([0]))
    np.testing.assert_allclose(one.inputs, [[0, 1, 5]], atol=1e-12)


def test_all_pairs_are_drawn_where_they_are_few():
    first, second = draw_pairs(np.array([5, 3, 5, 4]))
    found = {tuple(sorted(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(first) == 6 and found == {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)}


def test_of_many_recordings_a_part_of_both_kinds_is_drawn():
    speakers = np.random.default_rng(1).permutation(np.repeat(np.arange(40), 10))  # 1,800 targets of 79,800 pairs
    first, second = draw_pairs(speakers, most=500)
    is_target = speakers[first] == speakers[second]
    assert is_target.sum() == 500 and (~is_target).sum() == 500
    assert len({frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}) == 1000
    again = draw_pairs(speakers, most=500)
    assert (again[0] == first).all() and (again[1] == second).all()


def test_a_fit_gives_ratios_that_are_worth_more_than_none(people):
    pairs = Pairs.of(*people)
    llr = fit_pairs(pairs)
    assert llr.names == ("cosine", "speech")  # all have the same noise
    assert llr.weights[0] > 0
    assert cllr(apply(llr, pairs), pairs.is_target) < 0.7  # 1 says nothing
    alone = fit_pairs(pairs, ("cosine",))
    assert alone.names == ("cosine",)


def test_the_ratio_is_the_weighted_sum_of_the_inputs_that_have_weights():
    pairs = Pairs(np.array([[0.5, 2.0, 10.0]]), np.array([True]), np.array([[0, 0]]))
    assert apply(LinearLlr(("cosine", "snr"), (4.0, 0.3), -1.0), pairs) == pytest.approx([4.0])


def test_scores_that_speak_against_one_person_are_refused(people):
    pairs = Pairs.of(*people)
    turned = Pairs(pairs.inputs * [-1, 1, 1], pairs.is_target, pairs.speakers)
    with pytest.raises(InputError, match="a higher cosine speaks against one person"):
        fit_pairs(turned)


def test_cross_validation_sees_neither_speaker_of_a_pair(people, monkeypatch):
    pairs = Pairs.of(*people)
    fitted = []

    def spy(rest, *_):
        fitted.append(set(rest.speakers.ravel().tolist()))
        return fit_pairs(rest)

    monkeypatch.setattr("mindvox.pair_fit.fit_pairs", spy)
    ratios, tested = cross_validate(pairs)
    assert len(fitted) == 5 and len(ratios) == len(tested.is_target)
    folds = [set(range(NUM_SPEAKERS)) - seen for seen in fitted]
    assert set.union(*folds) == set(range(NUM_SPEAKERS)) and sum(map(len, folds)) == NUM_SPEAKERS
    for sides in tested.speakers.tolist():
        assert any(set(sides) <= fold for fold in folds)
    assert tested.is_target.sum() == pairs.is_target.sum()
    assert cllr(ratios, tested.is_target) < 0.8


def test_cross_validation_deals_those_with_several_recordings_evenly():
    rng = np.random.default_rng(0)
    speakers = np.array([*np.repeat(np.arange(4), 2), *range(4, 30)])  # 26 have one recording
    pairs = Pairs.of(rng.standard_normal((len(speakers), 4)), [quality()] * len(speakers), speakers)
    pairs = Pairs(np.where(pairs.is_target[:, None], [1, 2, 20], pairs.inputs), pairs.is_target, pairs.speakers)
    for seed in range(5):
        assert cross_validate(pairs, seed=seed)[1].is_target.sum() == 4


def test_cross_validation_needs_both_kinds_of_pairs_among_the_held(people):
    embeddings, qualities, speakers = people
    first = np.arange(len(speakers) - 1)
    same = first[speakers[first] == speakers[first + 1]]
    sides = np.array([*same, 0]), np.array([*(same + 1), len(speakers) - 1])  # one pair of two people alone
    with pytest.raises(InputError, match="too few to test a fit on people that it did not see"):
        cross_validate(Pairs.of(embeddings, qualities, speakers, *sides))


def test_how_many_people_it_takes():
    assert speakers_needed(0.01, 0.01) == 300  # by the rule of three: 300 people, 300 pairs of people
    assert speakers_needed(0.001, 0.5) == 78  # 78 * 77 / 2 = 3,003 pairs
    assert rates_shown(78)[0] <= 0.001 < rates_shown(77)[0]
    assert rates_shown(300)[1] == pytest.approx(0.01)


def test_a_fit_knows_the_bands_of_its_recordings():
    wide, narrow = quality(), quality(bandwidth_hz=4250.0)
    assert bands_of([wide] * 20) == ("wide-band",)
    assert bands_of([*[wide] * 99, narrow]) == ("wide-band",)
    assert bands_of([*[wide] * 19, narrow]) == ("narrow-band", "wide-band")
    assert bands_of([narrow] * 3) == ("narrow-band",)
