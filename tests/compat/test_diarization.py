"""Diarization by mvector's and wespeaker's classes, with voices that are tones."""

import numpy as np
import pytest
import soundfile

from mindvox.compat import mvector, wespeaker
from mindvox.compat.mvector import MVectorPredictor
from mindvox.diarization import segmentation
from mindvox.diarization.rttm import read_rttm
from mindvox.errors import InputError
from mindvox.speakers.store import Sample
from tests.diarization.talk import RATE, BandSegmenter, band_embedder, talk, voice

CONVERSATION = [("low", 1.0, 5.0), ("high", 6.0, 12.0), ("low", 11.0, 18.0)]


@pytest.fixture(autouse=True)
def toys(tmp_path, monkeypatch):
    """Use toy models, with a recording `talk.wav`."""
    for module in (mvector, wespeaker):
        monkeypatch.setattr(module.Embedder, "open", lambda model: band_embedder())
    monkeypatch.setattr(segmentation.Segmenter, "open", BandSegmenter)
    soundfile.write(tmp_path / "talk.wav", talk(*CONVERSATION, duration_s=19.0), RATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(found, speakers) -> None:
    assert [turn["speaker"] for turn in found] == speakers
    for turn, (_, start_s, end_s) in zip(found, CONVERSATION, strict=True):
        assert (turn["start"], turn["end"]) == pytest.approx((start_s, end_s), abs=0.2)


def test_mvector_tells_speakers_apart(toys):
    predictor = MVectorPredictor()
    check(predictor.speaker_diarization("talk.wav"), [0, 1, 0])
    samples = soundfile.read("talk.wav", dtype="float32")[0]
    check(predictor.speaker_diarization(samples, RATE), [0, 1, 0])
    check(predictor.speaker_diarization((toys / "talk.wav").read_bytes()), [0, 1, 0])
    check(predictor.speaker_diarization(np.repeat(samples, 2), 2 * RATE), [0, 1, 0])
    assert {turn["speaker"] for turn in predictor.speaker_diarization("talk.wav", speaker_num=1)} == {0}
    with pytest.raises(InputError, match="audio_db_path"):
        predictor.speaker_diarization("talk.wav", search_audio_db=True)


@pytest.mark.parametrize("spans", [[(6.0, 10.0), (13.0, 15.0)], [{"start": 6, "end": 10}, {"start": 13, "end": 15}]])
def test_mvector_listens_to_given_spans_only(spans):
    found = MVectorPredictor().speaker_diarization_from_timestamps("talk.wav", spans)
    assert [turn["speaker"] for turn in found] == [0, 1]
    assert found[0]["start"] == pytest.approx(6, abs=0.2) and found[1]["end"] == pytest.approx(15, abs=0.2)


def test_mvector_names_users_and_numbers_strangers(toys):
    predictor = MVectorPredictor(audio_db_path="audio_db")
    known = predictor._store
    low = predictor.embedder.engine.encode(predictor.embedder.front_end(voice("low", 3.0))[None])[0]
    known.put("Anna", [Sample(low, "a.wav")])
    check(predictor.speaker_diarization("talk.wav", search_audio_db=True), ["Anna", "陌生人1", "Anna"])


def test_wespeaker_writes_who_spoke_when(toys):
    model = wespeaker.load_model("chinese")
    found = model.diarize("talk.wav")
    assert [(utt, label) for utt, _, _, label in found] == [("unk", 0), ("unk", 1), ("unk", 0)]
    (toys / "wav.scp").write_text("meeting talk.wav\n")
    names, turns = model.diarize_list("wav.scp")
    assert names == ["meeting"] and [turn[1:] for turn in turns[0]] == [turn[1:] for turn in found]
    model.make_rttm(turns[0], "found.rttm")
    read = read_rttm("found.rttm")["meeting"]
    assert [turn.speaker for turn in read] == ["0", "1", "0"]
    assert read[1].end_s == pytest.approx(found[1][2], abs=0.001)
    model.set_diarization_params(num_spks=1)
    assert {label for *_, label in model.diarize("talk.wav")} == {0}
    model.set_diarization_params(max_num_spks=2)
    assert len({label for *_, label in model.diarize("talk.wav")}) == 2
