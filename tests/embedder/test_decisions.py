"""Scores, thresholds and answers."""

import json
import sys

import numpy as np
import pytest

from mindvox.decisions import cosine, verify
from mindvox.embedder import UnusableRecording
from mindvox.errors import InputError, UsageError
from mindvox.frontend import preparation
from mindvox.frontend.mel_spectrogram import MelSpectrogram
from mindvox.rules import ACCEPT, INCONCLUSIVE, REJECT, Thresholds
from tests.deploy.toy import NUM_MELS
from tests.detector import LoudIsSpeech
from tests.embedder.conftest import CARD, PUBLIC, Recorder, noise


def test_cosine_is_of_the_directions():
    assert cosine(np.array([3.0, 0.0]), np.array([1.0, 1.0])) == pytest.approx(2**-0.5)
    assert cosine(np.array([1, 2], np.float32), np.array([-2, -4], np.float32)) == pytest.approx(-1)


@pytest.mark.parametrize("second", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]]])
def test_cosine_of_what_is_no_embedding_is_an_error(second):
    with pytest.raises(ValueError, match="expected"):
        cosine(np.array([1.0, 2.0]), np.array(second))


@pytest.mark.parametrize(
    ("score", "answer"),
    [(0.45, ACCEPT), (1.0, ACCEPT), (0.4499, INCONCLUSIVE), (0.3, INCONCLUSIVE), (0.2999, REJECT), (-1.0, REJECT)],
)
def test_answer_by_thresholds(score, answer):
    assert Thresholds(0.45, 0.3, "card").judge(score).answer == answer


@pytest.mark.parametrize(("same", "different"), [(0.3, 0.45), (1.5, 0.0), (0.5, -2.0), (float("nan"), 0.1)])
def test_impossible_thresholds(same, different):
    with pytest.raises(ValueError, match="expected cosines from -1 to 1"):
        Thresholds(same, different, "card")


def test_thresholds_are_those_of_the_models_card(models):
    found = Thresholds.of_model(models["features"])
    assert found == Thresholds(0.9, 0.5, PUBLIC, "two words are not enough")
    assert Thresholds.of_model(models["kaldi"]) is None
    assert Thresholds.of_model(models["features"].with_name("another.onnx")) is None  # the card is of model.onnx


@pytest.mark.parametrize(
    "thresholds",
    [{"same": 0.3, "different": 0.4, "why": ""}, {"same": 2, "different": 0.4, "why": ""}, {"same": 0.5}, 1],
)
def test_a_card_of_impossible_thresholds_is_refused(tmp_path, thresholds):
    (tmp_path / "card.json").write_text(json.dumps({**CARD, "thresholds": thresholds}))
    with pytest.raises(InputError, match=r"card\.json: "):
        Thresholds.of_model(tmp_path / "model.onnx")


def test_a_card_may_know_no_thresholds(tmp_path):
    (tmp_path / "card.json").write_text(json.dumps({**CARD, "thresholds": None}))
    assert Thresholds.of_model(tmp_path / "model.onnx") is None


def test_a_recording_is_of_the_person_of_itself(embedders):
    decision = verify(embedders["features"], noise(8000, 0), noise(8000, 0))
    assert (decision.answer, decision.reason) == (ACCEPT, "") and decision.score == pytest.approx(1, abs=1e-6)


def test_score_is_the_cosine_and_the_thresholds_can_be_given(embedders):
    first, second = noise(8000, 1), noise(8000, 2)
    embedder = embedders["features"]
    score = cosine(embedder.embed(first), embedder.embed(second))
    for same, different, answer in (
        (score - 1e-6, -1, ACCEPT),
        (score + 1e-6, score + 1e-6, REJECT),
        (score + 1e-6, score - 1e-6, INCONCLUSIVE),
    ):
        decision = verify(embedder, first, second, Thresholds(same, different, "test"))
        assert (decision.answer, decision.score) == (answer, score)
    assert decision.reason == "the score lies between the thresholds"


@pytest.mark.parametrize("bad", [noise(100, 0), np.zeros(8000)])
def test_what_cannot_be_used_has_no_answer_and_no_score(embedders, bad):
    for pair in ((bad, noise(8000, 0)), (noise(8000, 0), bad)):
        decision = verify(embedders["features"], *pair)
        assert (decision.answer, decision.score) == (INCONCLUSIVE, None)
        assert decision.reason.startswith("the array: ")


def test_a_model_without_thresholds_needs_one(embedders):
    with pytest.raises(UsageError, match="this model has no threshold. Fit a calibration"):
        verify(embedders["kaldi"], noise(8000, 0), noise(8000, 0))


def test_a_recording_without_speech_gives_no_answer(models, monkeypatch):
    monkeypatch.setattr(preparation, "_detector", LoudIsSpeech)
    recorder = Recorder(models, front_end=MelSpectrogram(n_mels=NUM_MELS, trim="webrtc").to_dict())
    loud = noise(8000, 0)
    decision = verify(recorder.embedder, loud, 0.1 * loud)
    assert (decision.answer, decision.score) == (INCONCLUSIVE, None)
    assert decision.reason == "the array: no speech was found in it"
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "webrtcvad", None)  # a failure, not an answer
    with pytest.raises(InputError, match="is not installed") as caught:
        verify(recorder.embedder, loud, loud)
    assert not isinstance(caught.value, UnusableRecording)
