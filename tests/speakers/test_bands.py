"""Answers about recordings of a band that the calibration does not cover, and the ratio with a speaker."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from mindvox.decisions import Examined
from mindvox.diarization.names import enrol_speakers, name_speakers
from mindvox.diarization.pipeline import Diarization
from mindvox.diarization.turns import Turn
from mindvox.pair_calibration import PairCalibration
from mindvox.rules import ACCEPT, INCONCLUSIVE, REJECT, Thresholds
from mindvox.scoring.linear_llr import LinearLlr
from mindvox.speakers.enrolment import ODD, Rules, decide, enrol
from mindvox.speakers.identification import (
    IDENTIFIED,
    OTHER_BAND,
    UNKNOWN,
    Candidates,
    identification_facts,
    identify,
    identify_embeddings,
    naming_of,
)
from mindvox.speakers.identification import INCONCLUSIVE as NO_ANSWER
from mindvox.speakers.listening import Heard
from mindvox.speakers.sqlite_store import SqliteStore
from mindvox.speakers.store import NEW, ModelIdentity, Sample
from mindvox.speakers.verification import verify_speaker
from mindvox.speech.quality import Problem
from tests.speakers.conftest import QUALITY
from tests.speakers.toys import SAME, toy_listener, voice

NARROW = replace(QUALITY, bandwidth_hz=4000.0)
REASON = "narrow-band speech, and the calibration toy was fitted on none"
CALIBRATION = PairCalibration("toy", "1" * 64, LinearLlr(("cosine",), (20.0,), -10.0), None, "", {})
COSINES = Thresholds(0.7, 0.4, "toys")
EVERYBODY = Candidates()


@pytest.fixture
def listener(tmp_path, monkeypatch):
    monkeypatch.setattr(PairCalibration, "of_model", lambda embedder: CALIBRATION)
    return toy_listener(tmp_path)


@pytest.fixture
def people(tmp_path, listener):
    with SqliteStore.open(tmp_path / "speakers.db", ModelIdentity.of(listener.embedder)) as store:
        yield store


def embedding(listener, speaker, seed=0):
    return listener.embedder.embed(voice(speaker, seed))


def put(people, listener, name, speaker, quality):
    people.put(name, [Sample(embedding(listener, speaker, 9), f"{name}.wav", quality=quality)])


def ask(people, listener, speaker, quality, candidates=EVERYBODY):
    one = embedding(listener, speaker)[None]
    return identify_embeddings(people, one, candidates, naming_of(people, listener.embedder, candidates), [quality])[0]


def test_identification_has_no_answer_about_another_band(people, listener):
    put(people, listener, "Anna", 1, QUALITY)
    put(people, listener, "Tina", 2, NARROW)
    put(people, listener, "Olga", 3, None)  # enrolled by an earlier version
    found = ask(people, listener, 1, QUALITY)
    assert (found.answer, found.name) == (IDENTIFIED, "Anna") and found.llr == pytest.approx(20 * found.score - 10)
    assert ask(people, listener, 4, QUALITY, Candidates(among=["Anna", "Olga"])).answer == UNKNOWN
    for speaker in (1, 4):  # neither a name nor that it is a stranger
        found = ask(people, listener, speaker, NARROW)
        assert (found.answer, found.name, found.code, found.llr) == (NO_ANSWER, None, OTHER_BAND, None)
        assert found.reason.startswith(REASON) and len(found.candidates) == 3 and found.score is not None
    found = ask(people, listener, 2, QUALITY)
    assert (found.answer, found.code) == (NO_ANSWER, OTHER_BAND) and found.reason.startswith(f"Tina: {REASON}")
    found = ask(people, listener, 3, QUALITY)
    assert (found.answer, found.name, found.llr) == (IDENTIFIED, "Olga", None)
    found = ask(people, listener, 2, NARROW, Candidates(threshold=SAME))  # who gives the threshold knows the band
    assert (found.answer, found.name, found.llr) == (IDENTIFIED, "Tina", None)
    assert ask(people, listener, 2, None, Candidates(among=["Tina"])).answer == IDENTIFIED  # nothing is known


def test_recordings_are_enrolled_with_their_quality(people, listener):
    done = enrol(people, listener, "Anna", [voice(1, 1), voice(1, 2)])
    assert done.enrolled and done.notes == ()
    for sample in people.get("Anna").samples:
        assert sample.quality.bandwidth_hz == 8000 and sample.quality.net_speech_s == sample.net_speech_s > 2.9
    assert identify(people, listener, voice(1, 3)).llr > 5
    assert identify(people, listener, voice(2, 3)).llr < 0


def test_enrolment_says_what_a_band_means(people, listener):
    rules = Rules().completed(COSINES, CALIBRATION)

    def enrol_heard(name, *voices):
        heard = [
            Heard(f"{number}.wav", embedding(listener, *one), quality) for number, (one, quality) in enumerate(voices)
        ]
        return decide(people, name, heard, [], (), NEW, None, rules)

    put(people, listener, "Anna", 1, QUALITY)
    done = enrol_heard("Ana", ((1, 3), QUALITY))
    assert [match.name for match in done.same_voice] == ["Anna"] and done.notes == ()
    done = enrol_heard("Tina", ((1, 4), NARROW))
    assert done.enrolled and done.same_voice == ()  # through a telephone strangers are as alike
    assert len(done.notes) == 1 and done.notes[0].startswith(f"0.wav: {REASON}") and "one voice" not in done.notes[0]
    done = enrol_heard("Bert", ((2, 1), QUALITY), ((2, 2), NARROW))
    assert done.enrolled and done.notes[0].startswith("1.wav: ") and "cannot be checked that" in done.notes[0]
    done = enrol_heard("Carl", ((3, 1), QUALITY), ((4, 1), NARROW))
    assert done.code == ODD and "another voice or channel than" in done.reason and done.notes


def test_speakers_of_a_conversation_get_no_name_through_a_telephone(people, listener):
    put(people, listener, "Anna", 1, QUALITY)
    put(people, listener, "Bert", 2, QUALITY)
    unit = {name: embedding(listener, one) for name, one in (("speaker_1", 1), ("speaker_2", 2), ("speaker_3", 3))}
    turns = [Turn(3.0 * place, 3.0 * place + 3, name) for place, name in enumerate(unit)]
    qualities = {"speaker_1": QUALITY, "speaker_2": NARROW, "speaker_3": NARROW}
    found = name_speakers(
        Diarization("talk", 9.0, turns, unit, qualities=qualities), people, listener.embedder, Candidates()
    )
    assert found.speakers == ["Anna", "speaker_2", "speaker_3"] and found.qualities["Anna"] == QUALITY
    assert found.notes == [found.notes[0]] and found.notes[0].startswith(f"No name for speaker_2, speaker_3: {REASON}")
    enrol_speakers(found, {"speaker_3": "Tina"}, people, listener.embedder)
    assert people.get("Tina").samples[0].quality == NARROW


def test_a_speaker_is_verified_by_each_enrolled_recording(people, listener):
    def verified(name, speaker, quality=QUALITY, rule=CALIBRATION, problem=None):
        side = Examined("a.wav", None if problem else embedding(listener, speaker), quality, problem)
        return verify_speaker(rule, COSINES, side, people.get(name))

    people.put("Anna", [Sample(embedding(listener, 1, seed), quality=QUALITY) for seed in (5, 6)])
    cosines = [_cosine(embedding(listener, 1), embedding(listener, 1, seed)) for seed in (5, 6)]
    found = verified("Anna", 1)
    assert (found.answer, found.thresholds) == (ACCEPT, CALIBRATION.thresholds)
    assert found.score == pytest.approx(np.mean(cosines)) and found.llr == pytest.approx(20 * np.mean(cosines) - 10)
    assert found.recordings[1] == Examined("Anna", None, None, None)
    found = verified("Anna", 2)
    assert found.answer == REJECT and found.llr < -5
    assert verified("Anna", 1, NARROW).reason.startswith(REASON)
    found = verified("Anna", 1, problem=Problem("too_short", "0.2 s of speech"))
    assert (found.answer, found.score, found.reason) == (INCONCLUSIVE, None, "a.wav: 0.2 s of speech")
    # Of a speaker whom an earlier version enrolled the cosines of the card decide; the recording's own band is known.
    people.put("Olga", [Sample(embedding(listener, 3, seed)) for seed in (5, 6)])
    found = verified("Olga", 3)
    assert (found.answer, found.llr, found.thresholds) == (ACCEPT, None, COSINES)
    assert found.score == pytest.approx(_cosine(embedding(listener, 3), people.get("Olga").centroid))
    found = verified("Olga", 3, NARROW)
    assert (found.answer, found.llr) == (INCONCLUSIVE, None) and found.reason.startswith(REASON)
    assert verified("Olga", 3, NARROW, rule=COSINES).answer == ACCEPT
    # Where the quality of some is known, these are compared.
    people.put("Olga", [Sample(embedding(listener, 3, 7), quality=QUALITY)], mode="add")
    found = verified("Olga", 3)
    assert found.score == pytest.approx(_cosine(embedding(listener, 3), embedding(listener, 3, 7)))


def _cosine(one, other):
    return float(one.astype(float) @ other / np.linalg.norm(one.astype(float)) / np.linalg.norm(other))


def test_the_ratio_is_in_the_facts(people, listener):
    put(people, listener, "Anna", 1, QUALITY)
    facts = identification_facts("a.wav", ask(people, listener, 1, QUALITY))
    assert facts["llr"] > 5 and facts["quality"] == asdict(QUALITY)
