"""Enrolment and identification with recordings."""

import numpy as np
import pytest
import soundfile

from mindvox.decisions import UNUSABLE
from mindvox.errors import InputError, UsageError
from mindvox.speakers.backgrounds import BACKGROUNDS, Background, background_of, fit_background
from mindvox.speakers.enrolment import ODD, TOO_LITTLE, Rules, enrol
from mindvox.speakers.identification import (
    IDENTIFIED,
    INCONCLUSIVE,
    LEAST_POPULATION,
    UNKNOWN,
    Candidates,
    identify,
    name_threshold,
)
from mindvox.speakers.listening import Listener, UnfitRecording
from mindvox.speakers.sqlite_store import SqliteStore
from mindvox.speakers.store import ADD, REPLACE, ModelIdentity, Sample, Speaker, SpeakerExists, Terms
from mindvox.speech.quality import NO_SPEECH, TOO_SHORT, Limits
from tests.speakers.conftest import vector
from tests.speakers.toys import CARD, DIFFERENT, NUM_BANDS, RATE, SAME, LoudIsSpeech, toy_listener, voice


@pytest.fixture
def listener(tmp_path):
    return toy_listener(tmp_path)


@pytest.fixture
def people(tmp_path, listener):
    with SqliteStore.open(tmp_path / "speakers.db", ModelIdentity.of(listener.embedder)) as store:
        yield store


def test_a_file_and_its_samples_are_heard_alike(tmp_path, listener):
    samples = voice(1)
    soundfile.write(tmp_path / "a.wav", samples, RATE, "FLOAT")
    heard = listener.hear(tmp_path / "a.wav")
    assert heard.source == "a.wav" and heard.quality.net_speech_s == pytest.approx(3, abs=0.01)
    assert np.array_equal(heard.embedding, listener.embedder.embed(tmp_path / "a.wav"))
    assert np.array_equal(heard.embedding, listener.hear(samples, RATE).embedding)


@pytest.mark.parametrize(
    ("samples", "code", "reason"),
    [
        (np.full(RATE, np.nan), UNUSABLE, "NaN"),
        (np.zeros(RATE), NO_SPEECH, "no speech"),
        (voice(1, level=0.001), NO_SPEECH, "no speech"),
        (voice(1, duration_s=0.5), TOO_SHORT, "0.5 s of speech, at least 1 s"),
    ],
)
def test_what_says_too_little_is_not_heard(listener, samples, code, reason):
    with pytest.raises(UnfitRecording, match=reason) as caught:
        listener.hear(samples)
    assert caught.value.code == code and (caught.value.quality is None) == (code == UNUSABLE)


def test_limits_are_the_users(tmp_path, listener):
    lenient = Listener(listener.embedder, LoudIsSpeech(), Limits(min_net_speech_s=0.2))
    assert lenient.hear(voice(1, duration_s=0.5)).quality.net_speech_s == pytest.approx(0.5, abs=0.01)
    two_voices = np.concatenate([voice(1, duration_s=3), voice(2, duration_s=4)])
    with pytest.raises(UnfitRecording, match="several people"):
        listener.hear(two_voices)
    any_voices = Listener(listener.embedder, LoudIsSpeech(), Limits(min_voice_agreement=-1))
    assert any_voices.hear(two_voices).quality.voice_agreement is None  # not even looked at


def test_enrolled_speakers_are_identified_and_strangers_are_not(people, listener):
    for name, speaker in (("Anna", 1), ("Bert", 2)):
        done = enrol(people, listener, name, [voice(speaker, 1), voice(speaker, 2)], terms=Terms("staff"))
        assert done.enrolled and len(done.taken) == 2 and done.taken[0].agreement > 0.9
    assert len(people.get("Anna").samples) == 2 and people.get("Anna").terms == Terms("staff")
    found = identify(people, listener, voice(2, 3))
    assert (found.answer, found.name) == (IDENTIFIED, "Bert") and found.score > SAME
    assert [match.name for match in found.candidates] == ["Bert", "Anna"] and found.quality.net_speech_s > 2.9
    found = identify(people, listener, voice(3))
    assert (found.answer, found.name) == (UNKNOWN, None) and found.score < SAME and len(found.candidates) == 2
    found = identify(people, listener, voice(2, 3), Candidates(among=["Anna"], num_shown=1))
    assert found.answer == UNKNOWN and found.threshold.num_speakers == 1 and len(found.candidates) == 1
    found = identify(people, listener, np.zeros(RATE))
    assert (found.answer, found.score, found.code) == (INCONCLUSIVE, None, NO_SPEECH) and found.candidates == ()


def test_nobody_is_enrolled(people, listener):
    found = identify(people, listener, voice(1))
    assert (found.answer, found.score, found.candidates) == (UNKNOWN, None, ())


def test_the_odd_recording_is_named_and_nothing_is_enrolled(tmp_path, people, listener):
    for number, speaker in enumerate((1, 1, 2, 1)):
        soundfile.write(tmp_path / f"{number}.wav", voice(speaker, number), RATE)
    files = [tmp_path / f"{number}.wav" for number in range(4)]
    done = enrol(people, listener, "Anna", files)
    assert not done.enrolled and done.code == ODD and done.odd == ("2.wav",) and "2.wav: another voice" in done.reason
    assert people.count() == 0 and people.audit() == []
    done = enrol(people, listener, "Anna", files[1:3])
    assert done.odd == ("1.wav", "2.wav")  # of two nobody can tell
    assert enrol(people, listener, "Anna", files, rules=Rules(min_agreement=-1)).enrolled


def test_a_later_recording_is_compared_with_those_before(people, listener):
    enrol(people, listener, "Anna", [voice(1, 1), voice(1, 2)])
    with pytest.raises(SpeakerExists):
        enrol(people, listener, "Anna", [voice(1, 3)])
    done = enrol(people, listener, "Anna", [voice(2, 3)], ADD)
    assert not done.enrolled and done.code == ODD and done.taken[0].agreement < DIFFERENT
    assert enrol(people, listener, "Anna", [voice(1, 3)], ADD).enrolled and len(people.get("Anna").samples) == 3
    assert enrol(people, listener, "Anna", [voice(2, 3)], REPLACE).enrolled and len(people.get("Anna").samples) == 1


def test_what_cannot_be_used_is_left_out(people, listener):
    done = enrol(people, listener, "Anna", [np.zeros(RATE), voice(1)])
    assert done.enrolled and [(one.code, one.source) for one in done.left_out] == [(NO_SPEECH, "the array")]
    done = enrol(people, listener, "Bert", [voice(2, duration_s=0.5)])
    assert not done.enrolled and done.code == TOO_SHORT and "0.5 s of speech" in done.reason
    done = enrol(people, listener, "Bert", [voice(2, duration_s=1.5)])
    assert not done.enrolled and done.code == TOO_LITTLE and done.reason == "1.5 s of speech, at least 2 s are needed"
    assert enrol(people, listener, "Bert", [voice(2, duration_s=1.5)], rules=Rules(1.2)).enrolled
    with pytest.raises(InputError, match="at least one recording"):
        enrol(people, listener, "Carl", [])


def test_the_same_voice_under_two_names_is_reported(people, listener):
    enrol(people, listener, "Anna", [voice(1, 1)])
    assert enrol(people, listener, "Bert", [voice(2, 1)]).same_voice == ()
    done = enrol(people, listener, "Ana", [voice(1, 2)])
    assert done.enrolled and [match.name for match in done.same_voice] == ["Anna"]
    assert enrol(people, listener, "Ana", [voice(1, 3)], ADD).same_voice[0].name == "Anna"  # not herself


@pytest.mark.parametrize("rules", [(-1, None, None), (1, 2, None), (1, None, float("nan"))])
def test_impossible_rules(rules):
    with pytest.raises(ValueError, match="expected"):
        Rules(*rules)


def test_a_model_of_which_nothing_is_known_needs_a_threshold(tmp_path):
    listener = toy_listener(tmp_path, card=None)
    with SqliteStore.open(tmp_path / "speakers.db", ModelIdentity.of(listener.embedder)) as store:
        assert enrol(store, listener, "Anna", [voice(1), voice(2)]).enrolled  # nothing to judge by
        with pytest.raises(UsageError, match="--threshold"):
            identify(store, listener, voice(1))
        found = identify(store, listener, voice(1), Candidates(threshold=-1.0))
        assert found.answer == IDENTIFIED and found.threshold.origin == "given" and found.threshold.target_rate is None


@pytest.mark.parametrize("values", [{"target_rate": 0}, {"target_rate": 1}, {"threshold": 1.1}, {"num_shown": 0}])
def test_impossible_candidates(values):
    with pytest.raises(UsageError, match=next(iter(values))):
        Candidates(**values)


def test_the_threshold_rises_with_the_number_of_speakers_and_falls_with_the_rate():
    background = Background(0.1, 0.1, "test")
    # One speaker in a hundred is the 99 % point of the normal distribution.
    assert background.threshold(1, 0.01) == pytest.approx(0.1 + 0.1 * 2.3263479)
    # 1 - (1 - 0.01) ** (1 / 1000) = 1.00503e-5, whose point is 4.2636.
    assert background.threshold(1000, 0.01) == pytest.approx(0.1 + 0.1 * 4.2636, abs=1e-4)
    assert background.threshold(10**8, 0.01) > background.threshold(10**6, 0.01) > background.threshold(10**6, 0.1)
    for num_speakers, rate in ((0, 0.1), (1, 0), (1, 1)):
        with pytest.raises(ValueError, match="expected a rate"):
            background.threshold(num_speakers, rate)


def test_the_rate_of_strangers_with_a_name_is_the_target():
    rng = np.random.default_rng(0)
    background = fit_background(0.05 + 0.12 * rng.standard_normal(50000), "test")
    assert (background.location, background.scale) == pytest.approx((0.05, 0.12), abs=0.01)
    strangers = 0.05 + 0.12 * rng.standard_normal((4000, 200))
    rate = (strangers.max(axis=1) >= background.threshold(200, 0.05)).mean()
    assert 0.035 < rate < 0.065


def test_the_fit_is_of_the_tail():
    rng = np.random.default_rng(1)
    two_sexes = np.concatenate([rng.normal(-0.2, 0.1, 20000), rng.normal(0.1, 0.1, 20000)])
    background = fit_background(two_sexes, "test")
    expected = np.quantile(two_sexes, 0.999)
    assert background.threshold(1, 0.001) == pytest.approx(expected, abs=0.01)
    assert abs(two_sexes.mean() + 3.09 * two_sexes.std() - expected) > 0.07  # what all scores together would say
    with pytest.raises(ValueError, match="more than 100 scores"):
        fit_background(two_sexes[:50], "test")


def test_the_threshold_follows_from_whatever_asks_for_most(people, listener, tmp_path, monkeypatch):
    model_file = listener.embedder.model_file
    found = name_threshold(people, model_file)
    assert (found.value, found.num_speakers) == (SAME, 0) and "comparison of two" in found.origin
    monkeypatch.setitem(BACKGROUNDS, "toy", Background(0.5, 0.1, "readers"))
    assert background_of(model_file) == Background(0.5, 0.1, "readers")
    assert background_of(model_file.with_name("other.onnx")) is None
    found = name_threshold(people, model_file)
    assert found.value == pytest.approx(0.7326, abs=1e-4) and found.origin == "readers" and found.target_rate == 0.01
    assert name_threshold(people, model_file, Candidates(target_rate=0.2)).value == SAME
    # Speakers who are all alike: strangers will be, too.
    alike = [Sample(vector(0) + 0.3 * vector(number), "a") for number in range(1, LEAST_POPULATION + 1)]
    people.put_all(Speaker(f"{number}", (sample,)) for number, sample in enumerate(alike))
    found = name_threshold(people, model_file)
    assert found.value > 0.85 and found.origin == f"the cosines between {LEAST_POPULATION} enrolled speakers"
    assert name_threshold(people, model_file, Candidates(threshold=0.2)).value == 0.2


def test_the_toys_are_as_the_other_tests_take_them(listener):
    assert CARD["thresholds"]["same"] == SAME and listener.embedder.emb_size == NUM_BANDS
