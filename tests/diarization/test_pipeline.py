"""From a recording to turns and files, with voices that are tones."""

import csv
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from mindvox.cli import diarize as command
from mindvox.cli import main
from mindvox.diarization import embedding, outputs, recording
from mindvox.diarization.names import name_speakers
from mindvox.diarization.outputs import KINDS, default_kinds, timeline, write_all
from mindvox.diarization.pipeline import Diarization, Diarizer, Options, count_of
from mindvox.diarization.rttm import read_rttm
from mindvox.diarization.turns import Turn
from mindvox.embedder import UnusableRecording
from mindvox.errors import InputError, UsageError
from mindvox.speakers.identification import Candidates
from mindvox.speakers.store import ModelIdentity, Sample, open_store
from tests.diarization.talk import RATE, BandSegmenter, OneVoiceSegmenter, band_embedder, talk

FRAME_S = 2 * 991 / RATE  # a turn's edge is as exact as the network's frame
CONVERSATION = [("low", 1.0, 5.0), ("high", 5.0, 12.0), ("low", 11.0, 18.0), ("high", 20.0, 22.0)]


@pytest.fixture
def diarizer():
    return Diarizer(band_embedder(), segmenter=BandSegmenter())


def check(turns, expected) -> None:
    assert [turn.speaker for turn in turns] == [speaker for speaker, _, _ in expected]
    for turn, (_, start_s, end_s) in zip(turns, expected, strict=True):
        assert (turn.start_s, turn.end_s) == pytest.approx((start_s, end_s), abs=FRAME_S)


def test_turns_with_overlap_are_found(diarizer):
    found = diarizer.diarize(talk(*CONVERSATION, duration_s=23.0))
    names = {"low": "speaker_1", "high": "speaker_2"}
    check(found.turns, [(names[name], start, end) for name, start, end in CONVERSATION])
    assert found.speakers == ["speaker_1", "speaker_2"] and found.duration_s == 23.0 and not found.notes
    assert [np.linalg.norm(found.embeddings[name]) for name in found.speakers] == pytest.approx([1, 1])


def test_one_voice_one_word_and_nobody(diarizer):
    check(diarizer.diarize(talk(("high", 2, 28), duration_s=30.0)).turns, [("speaker_1", 2, 28)])
    check(diarizer.diarize(talk(("low", 0.5, 0.9), duration_s=1.2)).turns, [("speaker_1", 0.5, 0.9)])
    silent = diarizer.diarize(np.zeros(RATE, np.float32))
    assert (silent.turns, silent.speakers, silent.notes) == ([], [], ["Nobody speaks."])
    blip = Diarizer(band_embedder(), Options(min_turn_s=1.0), BandSegmenter()).diarize(
        talk(("low", 0, 0.5), duration_s=1.0)
    )
    assert (blip.turns, blip.notes) == ([], ["Nobody speaks."])
    with pytest.raises(UnusableRecording, match="no samples"):
        diarizer.diarize(np.zeros(0, np.float32))


def test_number_of_speakers_is_kept_to(diarizer):
    waveform = talk(*CONVERSATION, duration_s=23.0)
    assert len(diarizer.diarize(waveform, count_of(1)).speakers) == 1
    assert len(diarizer.diarize(waveform, count_of(None, 1, 1)).speakers) == 1
    with pytest.raises(UsageError, match="num_speakers: give either"):
        count_of(2, 1, 3)


def test_more_speakers_than_there_are_is_said(diarizer):
    found = diarizer.diarize(talk(("high", 0.2, 0.8), duration_s=1.0), count_of(3))
    assert found.notes == ["Asked for at least 3 speakers, heard 1."]


def test_pauses_are_filled_and_short_turns_dropped():
    options = Options(min_pause_s=0.5, min_turn_s=1.0)
    diarizer = Diarizer(band_embedder(), options, BandSegmenter())
    waveform = talk(("low", 1, 3), ("low", 3.3, 5), ("high", 6, 6.5), ("high", 8, 10), duration_s=11.0)
    check(diarizer.diarize(waveform).turns, [("speaker_1", 1, 5), ("speaker_2", 8, 10)])


def test_people_whom_the_network_takes_for_one_are_told_apart():
    waveform = talk(("low", 1, 4), ("high", 4.4, 8), ("low", 9, 12), ("high", 12.5, 12.8), duration_s=14.0)
    turns = Diarizer(band_embedder(), segmenter=OneVoiceSegmenter()).diarize(waveform).turns
    check(turns[:3], [("speaker_1", 1, 4), ("speaker_2", 4.4, 8), ("speaker_1", 9, 12)])
    assert turns[3].start_s == pytest.approx(12.5, abs=FRAME_S)  # too short for an embedding, not lost


def test_who_says_short_words_alone_is_a_speaker(diarizer):
    words = [("high", start_s, start_s + 0.7) for start_s in (9.5, 10.7, 11.9)]  # none of 1 s, but 2.1 s in all
    found = diarizer.diarize(talk(("low", 1, 9), *words, duration_s=13.0))
    check(found.turns, [("speaker_1", 1, 9), *(("speaker_2", start_s, end_s) for _, start_s, end_s in words)])


def test_who_talks_over_another_alone_is_a_speaker(diarizer):
    waveform = talk(("low", 1, 9), ("high", 4, 5), duration_s=10.0)
    check(diarizer.diarize(waveform).turns, [("speaker_1", 1, 9), ("speaker_2", 4, 5)])
    assert len(diarizer.diarize(waveform, count_of(1)).speakers) == 1
    briefly = talk(("low", 1, 9), ("high", 4, 4.3), duration_s=10.0)
    assert len(diarizer.diarize(briefly).speakers) == 1  # so little may be a mistake of the network


def test_features_in_parts_give_what_they_give_at_once(diarizer, monkeypatch):
    waveform = talk(*CONVERSATION, duration_s=23.0)
    found = diarizer.diarize(waveform)
    monkeypatch.setattr(embedding, "PART_FRAMES", 1100)  # windows are 1000 long
    parts = diarizer.diarize(waveform)
    assert parts.turns == found.turns
    for name in found.speakers:
        np.testing.assert_allclose(parts.embeddings[name], found.embeddings[name], atol=1e-6)


def test_windows_that_overlap_share_the_embedding_of_a_stretch(diarizer, monkeypatch):
    engine, sizes = diarizer.embedder.engine, []
    encode = engine.encode
    monkeypatch.setattr(engine, "encode", lambda batch: sizes.append(len(batch)) or encode(batch))
    turns = [("low", 12.7, 14.2), ("high", 15.2, 16.7)]  # no window begins or ends in them
    found = diarizer.diarize(talk(*turns, duration_s=30.0))
    check(found.turns, [("speaker_1", 12.7, 14.2), ("speaker_2", 15.2, 16.7)])
    assert sum(sizes) == len(turns)


def test_given_speech_limits_what_is_heard(diarizer):
    waveform = talk(("low", 1, 9), duration_s=10.0)
    check(diarizer.diarize(waveform, speech=[(2.0, 4.0)]).turns, [("speaker_1", 2, 4)])


def test_detector_gives_one_speaker_at_a_time():
    class Detector:
        def segments(self, waveform):
            return [(1.0, 5.0), (6.0, 11.0)]

    diarizer = Diarizer(band_embedder(), Options(segmentation="silero"), detector=Detector())
    waveform = talk(("low", 1, 5), ("high", 6, 11), duration_s=12.0)
    check(diarizer.diarize(waveform).turns, [("speaker_1", 1, 5), ("speaker_2", 6, 11)])


def test_file_read_in_parts_gives_what_its_samples_give(diarizer, tmp_path):
    waveform = talk(*CONVERSATION, duration_s=23.0)
    soundfile.write(tmp_path / "a.wav", waveform, RATE, subtype="FLOAT")
    assert diarizer.diarize(tmp_path / "a.wav").turns == diarizer.diarize(waveform).turns
    with pytest.raises(UnusableRecording, match="no channel 3"):
        diarizer.diarize(tmp_path / "a.wav", channel=3)


def test_threads_share_a_diarizer(diarizer):
    waveforms = [talk(("low", 1, 4), ("high", start_s, 9), duration_s=10.0) for start_s in (4, 5, 6)]
    alone = [diarizer.diarize(waveform).turns for waveform in waveforms]
    with ThreadPoolExecutor(3) as pool:
        assert [found.turns for found in pool.map(diarizer.diarize, waveforms)] == alone


def test_recordings_that_are_too_long_are_refused(diarizer, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "MAX_DURATION_S", 2)
    waveform = talk(("low", 0, 2), duration_s=2.1)
    soundfile.write(tmp_path / "parts.wav", waveform, RATE)
    soundfile.write(tmp_path / "whole.wav", waveform, 8000)
    for source in (tmp_path / "parts.wav", tmp_path / "whole.wav", waveform):
        with pytest.raises(UnusableRecording, match="(wav|the array): longer than 2 s: cut it, and diarize the parts"):
            diarizer.diarize(source)
    assert diarizer.diarize(waveform[: 2 * RATE]).turns


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"segmentation": "x"}, "segmentation: expected one of pyannote, silero"),
        ({"clustering": "x"}, "clustering: expected one of"),
        ({"step_s": 0}, "step_s: expected 0.1 to 10"),
        ({"threshold": 2}, "threshold: expected a cosine"),
        ({"min_turn_s": -1}, "lengths of at least 0 s"),
        ({"min_cluster_size": 0}, "min_cluster_size: expected at least 1"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(UsageError, match=message):
        Options(**options)


def test_model_that_does_not_fit_is_named(diarizer):
    diarizer.embedder.engine.exported.num_frames = 301
    with pytest.raises(InputError, match="bands.onnx: diarization needs a model that takes features"):
        diarizer.diarize(talk(("low", 0, 1), duration_s=1.0))


# Files

FOUND = Diarization(
    "talk", 3723.5, [Turn(0.5, 2.25, "Anna & Bo"), Turn(3661.0, 3662.0, "speaker_2")], notes=["A note."]
)


def test_files_hold_the_turns(tmp_path):
    kinds = ("rttm", "json", "csv", "txt", "vtt", "html")
    assert [path.name for path in write_all(tmp_path, FOUND, kinds)] == [f"talk.{kind}" for kind in kinds]
    assert read_rttm(tmp_path / "talk.rttm")["talk"][0] == Turn(0.5, 2.25, "Anna_&_Bo")
    content = json.loads((tmp_path / "talk.json").read_text())
    assert content["num_speakers"] == 2 and content["speakers"][0] == {
        **{"speaker": "Anna & Bo", "speech_s": 1.75},
        **{"is_enrolled": False, "score": None, "quality": None},
    }
    assert content["turns"][1] == {"start_s": 3661.0, "end_s": 3662.0, "speaker": "speaker_2"}
    rows = list(csv.reader((tmp_path / "talk.csv").open()))
    assert rows[:2] == [["start_s", "end_s", "speaker"], ["0.500", "2.250", "Anna & Bo"]]
    assert (tmp_path / "talk.txt").read_text().splitlines()[0] == "0.500000\t2.250000\tAnna & Bo"
    assert (tmp_path / "talk.vtt").read_text() == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:02.250\n<v Anna &amp; Bo>Anna &amp; Bo</v>\n"
        "\n01:01:01.000 --> 01:01:02.000\n<v speaker_2>speaker_2</v>\n"
    )


def test_timeline_has_a_bar_for_each_turn_and_escapes_names():
    page = timeline(FOUND)
    assert page.count("<rect ") == 2 and "Anna &amp; Bo" in page and "Anna & Bo" not in page and "A note." in page
    assert timeline(Diarization("silence", 0.0, [])).count("<rect ") == 0


def test_picture_has_a_bar_for_each_turn(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install -e '.[plots]'")
    assert list(default_kinds()) == list(KINDS)
    (axes,) = outputs.timeline_figure(replace(FOUND, turns=[*FOUND.turns, Turn(9, 10, "$2$ each")])).axes
    assert [len(bars.get_paths()) for bars in axes.collections] == [1, 1, 1] and axes.get_xlim() == (0, 3723.5)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Anna & Bo", r"\$2\$ each", "speaker_2"]
    assert axes.get_xticklabels()[-1].get_text() == "1:02:04" and axes.get_xlabel() == "A note."
    for found in (FOUND, Diarization("silence", 0.0, [])):
        (path,) = write_all(tmp_path, found, ["png"])
        assert path.read_bytes().startswith(b"\x89PNG")


def test_picture_is_left_out_without_matplotlib_and_asking_for_it_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "find_spec", lambda name: None)
    assert [path.suffix for path in write_all(tmp_path, FOUND)] == [f".{kind}" for kind in KINDS if kind != "png"]
    (tmp_path / "a.wav").touch()
    with pytest.raises(InputError, match="--format png needs matplotlib: pip install"):
        main(["diarize", str(tmp_path / "a.wav"), "--out", str(tmp_path / "out"), "--format", "rttm", "png"])
    assert not (tmp_path / "out").exists()


# The command


@pytest.fixture
def opened(diarizer, monkeypatch):
    monkeypatch.setattr(command.Diarizer, "open", lambda model, options, engine: diarizer)


def test_command_writes_files_and_says_who_was_heard(opened, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", talk(*CONVERSATION, duration_s=23.0), RATE)
    (tmp_path / "b.wav").write_bytes(b"no audio")
    assert main(["diarize", str(tmp_path / "a.wav"), str(tmp_path / "b.wav"), "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr()
    assert "a.wav: 2 speakers in 23.0 s" in told.out and "speaker_1: 11.1 s" in told.out
    assert told.err.startswith("error: ") and "b.wav" in told.err
    assert sorted(read_rttm(tmp_path / "out")) == ["a"] and (tmp_path / "out/a.html").is_file()


def test_command_writes_the_kinds_that_are_asked_for(opened, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", talk(("low", 1, 5), duration_s=6.0), RATE)
    given = ["diarize", str(tmp_path / "a.wav"), "--out", str(tmp_path / "out"), "--format"]
    assert main([*given, "csv", "rttm", "csv"]) == 0
    assert sorted(path.suffix for path in (tmp_path / "out").glob("a.*")) == [".csv", ".rttm"]
    assert f"written: {tmp_path / 'out/a.csv'} and 1 more" in capsys.readouterr().out
    with pytest.raises(UsageError, match="invalid choice: 'mp3'"):
        main([*given, "mp3"])


def test_command_enrols_voices_and_gives_their_names_elsewhere(opened, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", talk(*CONVERSATION, duration_s=23.0), RATE)
    soundfile.write(tmp_path / "b.wav", talk(("high", 1, 6), ("low", 7, 9), duration_s=10.0), RATE)
    given = ["--out", str(tmp_path / "out"), "--store", str(tmp_path / "speakers.db")]
    assert main(["diarize", str(tmp_path / "a.wav"), *given, "--enrol", "speaker_2=Anna Ek"]) == 0
    assert main(["diarize", str(tmp_path / "b.wav"), *given, "--names", "--name_threshold", "0.9"]) == 0
    assert re.search(r"  Anna Ek: 5.\d s, score (0.9|1.0)", capsys.readouterr().out)
    content = json.loads((tmp_path / "out/b.json").read_text())
    assert [turn["speaker"] for turn in content["turns"]] == ["Anna Ek", "speaker_2"]
    assert [speaker["is_enrolled"] for speaker in content["speakers"]] == [True, False]


def test_command_says_what_cannot_be_enrolled(opened, tmp_path):
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", talk(("low", 1, 2), ("high", 3, 9), duration_s=10.0), RATE)
    given = [str(tmp_path / "a.wav"), "--out", str(tmp_path / "out"), "--store", str(tmp_path / "speakers.db")]
    for enrolled, message in (
        (["speaker_3=Bo"], "a: no speaker 'speaker_3' in it"),
        (["speaker_2=Bo", "speaker_1=Anna"], "a: speaker_1 has 1.* s of speech, at least 2 s are needed"),
        (["speaker_2=Bo", "speaker_2=Anna"], "--enrol: expected each speaker and each name only once"),
        (["Bo"], "expected SPEAKER=NAME"),
    ):
        with pytest.raises(InputError, match=message):
            main(["diarize", *given, *(word for one in enrolled for word in ("--enrol", one))])
    with pytest.raises(UsageError, match="one recording at a time"):
        main(["diarize", str(tmp_path / "b.wav"), *given, "--enrol", "speaker_2=Bo"])
    with open_store(tmp_path / "speakers.db") as store:
        assert store.count() == 0


def test_speakers_who_are_one_enrolled_person_become_one(diarizer, tmp_path):
    found = diarizer.diarize(talk(("low", 1, 5), ("high", 6, 9), duration_s=10.0))
    identity = ModelIdentity.of(diarizer.embedder)
    with open_store(tmp_path / "speakers.db", identity) as store:
        store.put("Anna", [Sample(found.embeddings["speaker_1"] + found.embeddings["speaker_2"])])
        named = name_speakers(found, store, diarizer.embedder, Candidates(threshold=0.1))
        assert [turn.speaker for turn in named.turns] == ["Anna", "Anna"] and list(named.embeddings) == ["Anna"]
        strict = name_speakers(found, store, diarizer.embedder, Candidates(threshold=0.999))
        assert strict.turns == found.turns and not strict.scores


def test_command_refuses_mistakes_before_it_works(opened, tmp_path):
    (tmp_path / "x").mkdir()
    for name in ("a.wav", "x/a.wav"):
        soundfile.write(tmp_path / name, np.zeros(160), RATE)
    out = ["--out", str(tmp_path / "out")]
    with pytest.raises(InputError, match="none.wav: no such file"):
        main(["diarize", str(tmp_path / "none.wav"), *out])
    with pytest.raises(UsageError, match="several recordings are called a"):
        main(["diarize", str(tmp_path / "a.wav"), str(tmp_path / "x/a.wav"), *out])
    with pytest.raises(UsageError, match="give either num_speakers"):
        main(["diarize", str(tmp_path / "a.wav"), *out, "--num_speakers", "2", "--max_speakers", "3"])
    with pytest.raises(UsageError, match="expected 1 <= min <= max"):
        main(["diarize", str(tmp_path / "a.wav"), *out, "--num_speakers", "0"])
    assert not (tmp_path / "out").exists()
