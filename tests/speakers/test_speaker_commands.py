"""`mindvox enrol`, `identify` and `speakers`: what they print, write, and return."""

import json
import subprocess
import sys
import time
from dataclasses import fields

import numpy as np
import pytest
import soundfile

from mindvox.arguments import Parser
from mindvox.cli import speaker_arguments
from mindvox.cli.enrol import main as enrol
from mindvox.cli.identify import describe
from mindvox.cli.identify import main as identify
from mindvox.cli.quality_arguments import add_limit_arguments
from mindvox.cli.speaker_batches import enrol_main as enrol_all
from mindvox.cli.speaker_batches import identify_main as identify_all
from mindvox.cli.speakers import main as speakers
from mindvox.cli.verify import main as verify
from mindvox.errors import InputError, UsageError
from mindvox.pair_calibration import PairCalibration
from mindvox.scoring.linear_llr import LinearLlr
from mindvox.speakers.backgrounds import BACKGROUNDS
from mindvox.speakers.identification import NameThreshold
from mindvox.speakers.store import NoSuchSpeaker, SpeakerExists, open_store
from mindvox.speech.microphone import Microphone
from mindvox.speech.quality import BANDS, Limits
from mindvox.terminal import WIDTH
from tests.speakers.toys import RATE, SAME, LoudIsSpeech, toy_embedder, toy_listener, voice

ONLY_NARROW = PairCalibration("toy", "1" * 64, LinearLlr(("cosine",), (20.0,), -10.0), None, "", {}, bands=BANDS[:1])
COMMAND = """
import sys
for name in ("mindspore", "pandas", "scipy", "fcntl"):
    sys.modules[name] = None  # an import of it fails
import os
del os.sched_getaffinity  # which Windows and macOS do not have
import mindvox.cli.enrol, mindvox.cli.identify, mindvox.speakers.sqlite_store
from mindvox.cli import console
sys.exit(console())
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Recordings `<speaker>-<number>.wav`; the model and the store are toys."""
    for speaker in (1, 2, 3):
        for number in (0, 1, 2):
            soundfile.write(tmp_path / f"{speaker}-{number}.wav", voice(speaker, number), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    listener = toy_listener(tmp_path)
    for command in ("enrol", "identify"):
        monkeypatch.setattr(f"mindvox.cli.{command}.open_listener", lambda arguments: listener)
    monkeypatch.setenv("MINDVOX_SPEAKERS", str(tmp_path / "speakers.db"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys):
    return capsys.readouterr().out.splitlines()


def test_enrol_and_identify(files, capsys):
    assert enrol(["Anna", "1-0.wav", "1-1.wav"]) == 0
    lines = said(capsys)
    assert lines[0] == "enrolled: Anna, 2 recordings, 6.0 s of speech"
    assert lines[1].startswith("  1-0.wav: 3.0 s of speech, cosine 1.00 with") and len(lines) == 3
    assert identify(["1-2.wav"]) == 0
    lines = said(capsys)
    least = f"a name needs a score of at least {SAME:.4f}"
    assert lines[0] == f"1 speaker; {least}, which at most 0.01 of strangers reach"
    assert lines[1].startswith("  threshold from toy")
    assert lines[2].startswith("1-2.wav: Anna (Anna 0.99")
    assert identify(["2-0.wav"]) == 3
    assert said(capsys)[2].startswith("2-0.wav: unknown (Anna ")
    assert identify(["silent.wav"]) == 4
    assert said(capsys)[2] == "silent.wav: inconclusive: no speech was found in its 1.0 s"
    assert identify(["1-2.wav", "silent.wav", "2-0.wav"]) == 4
    assert identify(["1-2.wav", "2-0.wav"]) == 3


@pytest.mark.parametrize("origin", [BACKGROUNDS["campplus_zh_en"].source, "a " * 90])
def test_lines_about_the_threshold_fit_a_terminal(origin):
    lines = describe(NameThreshold(0.7, origin, 1_000_000, 0.0001)).splitlines()
    assert len(lines) > 1 and max(map(len, lines)) <= WIDTH


def test_what_cannot_be_enrolled_is_exit_code_4(files, capsys):
    assert enrol(["Anna", "1-0.wav", "1-1.wav", "2-0.wav"]) == 4
    lines = said(capsys)
    assert lines[0].startswith("not enrolled: Anna: 2-0.wav: another voice than the other recordings (cosine ")
    assert len(lines) == 4
    assert enrol(["Anna", "silent.wav"]) == 4
    assert said(capsys) == ["not enrolled: Anna: silent.wav: no speech was found in its 1.0 s"]
    assert enrol(["Anna", "1-0.wav", "silent.wav"]) == 0
    assert said(capsys)[1] == "left out: silent.wav: no speech was found in its 1.0 s"


def test_recordings_can_come_from_the_microphone(files, monkeypatch, capsys):
    spoken = [voice(1, 5), voice(1, 6), voice(1, 7), voice(2, 5)]
    monkeypatch.setattr(Microphone, "record", lambda self: spoken.pop(0)[: round(self.duration_s * RATE)])
    assert enrol(["Anna", "1-0.wav", "--record=3", "--channel=0"]) == 0
    lines = said(capsys)
    assert lines[0].startswith("enrolled: Anna, 2 recordings") and lines[2].startswith("  the microphone: 3.0 s")
    assert enrol(["Anna", "--record=3", "--add"]) == 0
    with open_store() as store:
        assert [one.source for one in store.get("Anna").samples] == ["1-0.wav", "the microphone", "the microphone"]
    capsys.readouterr()
    assert identify(["--record=3"]) == 0
    assert said(capsys)[-1].startswith("the microphone: Anna (Anna 0.9")
    assert identify(["1-1.wav", "--record=3", "--json"]) == 3
    found = [json.loads(line) for line in said(capsys)]
    assert [(one["recording"], one["answer"]) for one in found] == [
        ("1-1.wav", "identified"),
        ("the microphone", "unknown"),
    ]


def test_nobody_speaks_in_vain(files, monkeypatch):
    monkeypatch.setattr(Microphone, "record", lambda self: pytest.fail("asked to speak"))
    enrol(["Anna", "1-0.wav"])
    with pytest.raises(SpeakerExists):
        enrol(["Anna", "--record=3"])
    with pytest.raises(InputError, match=r"missing\.wav: no such file"):
        identify(["missing.wav", "--record=3"])


def test_a_second_enrolment_asks_for_add_or_replace(files, capsys):
    enrol(["Anna", "1-0.wav", "--group=staff", "--consent=on paper"])
    with pytest.raises(SpeakerExists, match=r"--add.*--replace"):
        enrol(["Anna", "1-1.wav"])
    assert enrol(["Anna", "1-1.wav", "--add", "--expires=1d"]) == 0
    with open_store() as store:
        speaker = store.get("Anna")
    assert len(speaker.samples) == 2 and (speaker.terms.group, speaker.terms.consent) == ("staff", "on paper")
    assert speaker.terms.expires == pytest.approx(time.time() + 86400, abs=60)
    assert enrol(["Anna", "2-1.wav", "--replace", "--expires=never"]) == 0
    capsys.readouterr()
    speakers(["show", "Anna", "--json"])
    known = json.loads(capsys.readouterr().out)
    assert known["expires"] is None and [one["source"] for one in known["samples"]] == ["2-1.wav"]
    assert known["samples"][0]["band"] == "wide-band"
    assert [entry["action"] for entry in known["audit"]] == ["enrolled", "added", "replaced"]


def test_the_same_voice_is_reported(files, capsys):
    enrol(["Anna", "1-0.wav"])
    assert enrol(["Ana", "1-1.wav"]) == 0
    assert said(capsys)[-1].startswith("same voice as Anna? cosine 0.9")


def test_json_holds_everything(files, capsys):
    enrol(["Anna", "1-0.wav", "1-1.wav", "silent.wav", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["enrolled"] is True and [one["source"] for one in found["taken"]] == ["1-0.wav", "1-1.wav"]
    assert found["left_out"] == [
        {"source": "silent.wav", "code": "no_speech", "reason": "no speech was found in its 1.0 s"}
    ]
    identify(["1-2.wav", "silent.wav", "--json", "--target_rate=0.1"])
    first, second = map(json.loads, said(capsys))
    assert (first["recording"], first["answer"], first["name"]) == ("1-2.wav", "identified", "Anna")
    assert first["candidates"][0]["name"] == "Anna" and first["threshold"]["target_rate"] == 0.1
    assert first["quality"]["net_speech_s"] == pytest.approx(3, abs=0.01)
    assert (second["answer"], second["code"], second["score"]) == ("inconclusive", "no_speech", None)


def test_candidates_can_be_limited(files, capsys):
    enrol(["Anna", "1-0.wav", "--group=a"])
    enrol(["Bert", "2-0.wav", "--group=b"])
    assert identify(["1-1.wav", "--group=b"]) == 3
    assert identify(["1-1.wav", "--among", "Bert", "Carl", "--num_candidates=1"]) == 3
    assert identify(["1-1.wav", "--group=a", "--threshold=0.999999"]) == 3
    assert "a name needs a score of at least 1.0000 (given)" in said(capsys)[-2]


def test_speakers_are_managed(files, capsys):
    enrol(["Anna", "1-0.wav", "--group=staff"])
    enrol(["Bert", "2-0.wav", "--expires=2099-01-31"])
    capsys.readouterr()
    speakers(["list"])
    lines = said(capsys)
    assert lines[0].split() == ["name", "recordings", "speech", "group", "enrolled", "expires"]
    assert lines[1].split()[:5] == ["Anna", "1", "3.0", "s", "staff"] and lines[2].endswith("2099-01-31")
    assert lines[3] == "2 speakers"
    speakers(["list", "--group=staff", "--json"])
    assert json.loads(capsys.readouterr().out)["name"] == "Anna"
    speakers(["list", "--limit=1"])
    assert [line.split()[0] for line in said(capsys)] == ["name", "Anna", "2"]
    speakers(["rename", "Anna", "Ana"])
    speakers(["show", "Ana"])
    lines = said(capsys)
    assert (
        lines[0] == "renamed: Anna to Ana"
        and "group: staff" in lines
        and "  source 1-0.wav, net_speech_s 3.0, band wide-band" in lines
    )
    speakers(["delete", "Ana", "Bert"])
    assert said(capsys) == ["deleted: Ana", "deleted: Bert"]
    assert identify(["1-1.wav"]) == 3
    capsys.readouterr()
    speakers(["audit"])
    assert [line.split()[2] for line in said(capsys)] == ["enrolled", "enrolled", "renamed", "deleted", "deleted"]
    speakers(["audit", "Bert", "--json"])
    assert [json.loads(line)["action"] for line in said(capsys)] == ["enrolled", "deleted"]
    speakers(["purge"])
    assert said(capsys)[0].startswith("expired and deleted: 0 speakers")
    for arguments in (["show", "Ana"], ["delete", "Ana"], ["rename", "Ana", "x"], ["export", "Ana"]):
        with pytest.raises(NoSuchSpeaker, match="Ana"):
            speakers(arguments)


def test_speakers_move_to_another_store(files, capsys):
    enrol(["Anna", "1-0.wav", "1-1.wav", "--group=staff", "--consent=ja", "--expires=2099-01-31"])
    enrol(["Bert", "2-0.wav"])
    speakers(["export", "--all", "--to=all.jsonl"])
    assert said(capsys)[-1] == "all.jsonl: 2 speakers"
    speakers(["import", "all.jsonl", "--store=other.db"])
    with open_store("speakers.db") as one, open_store("other.db") as other:
        assert other.model == one.model
        for name in ("Anna", "Bert"):
            before, after = one.get(name), other.get(name)
            assert after.terms == before.terms and after.created == pytest.approx(before.created, abs=2e-6)
            for first, second in zip(before.samples, after.samples, strict=True):
                assert np.array_equal(first.embedding, second.embedding)
                assert (first.source, first.net_speech_s) == (second.source, second.net_speech_s)
                assert first.quality == second.quality is not None
                assert first.added == pytest.approx(second.added, abs=2e-6)
    capsys.readouterr()
    speakers(["export", "Anna"])
    known = json.loads(capsys.readouterr().out)
    assert (
        known["name"] == "Anna" and len(known["samples"][0]["embedding"]) == 16 and known["audit"][0]["name"] == "Anna"
    )
    with pytest.raises(SpeakerExists):
        speakers(["import", "all.jsonl"])
    speakers(["import", "all.jsonl", "--replace"])
    for arguments in (["export"], ["export", "Anna", "--all"]):
        with pytest.raises(UsageError, match="names, or --all"):
            speakers(arguments)


def test_an_export_of_an_earlier_version_has_no_quality(files, capsys):
    enrol(["Anna", "1-0.wav"])
    speakers(["export", "--all", "--to=all.jsonl"])
    known = json.loads((files / "all.jsonl").read_text())
    del known["samples"][0]["quality"]
    (files / "all.jsonl").write_text(json.dumps(known) + "\n")
    speakers(["import", "all.jsonl", "--store=other.db"])
    with open_store("other.db") as store:
        assert [(one.source, one.quality) for one in store.get("Anna").samples] == [("1-0.wav", None)]
    capsys.readouterr()
    speakers(["show", "Anna", "--store=other.db"])
    assert any(line.endswith("band unknown") for line in said(capsys))


def test_enrol_notes_recordings_through_a_telephone(files, capsys, monkeypatch):
    monkeypatch.setattr(PairCalibration, "of_model", lambda embedder: ONLY_NARROW)
    assert enrol(["Anna", "1-0.wav"]) == 0
    lines = said(capsys)
    assert lines[0].startswith("enrolled: Anna") and lines[-1].startswith("note: 1-0.wav: wide-band speech, and the ")
    assert identify(["1-1.wav"]) == 4
    assert said(capsys)[-1].startswith("1-1.wav: inconclusive: wide-band speech, and the calibration toy was fitted on")
    assert identify(["1-1.wav", f"--threshold={SAME}"]) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda known: known.pop("name"), r"all.jsonl:2: expected one speaker.*no 'name'"),
        (lambda known: known.update(format_version=9), r"all.jsonl:2: an export of format 9"),
        (
            lambda known: known["model"].update(fingerprint="0"),
            r"all.jsonl:2: its speakers were enrolled with the model",
        ),
        (lambda known: known["samples"][0].update(embedding=[1]), "expected an embedding of 16 numbers"),
        (lambda known: known["samples"][0].update(embedding="x"), r"all.jsonl:2: expected one speaker"),
        (lambda known: known["samples"][0].update(quality={"snr_db": 3}), r"all.jsonl:2: expected one speaker"),
        (lambda known: known["samples"][0]["quality"].update(duration_s=None), "quality: expected finite numbers"),
        (lambda known: known["samples"][0]["quality"].update(snr_db=float("inf")), "quality: expected finite numbers"),
    ],
)
def test_a_damaged_export_is_refused(files, change, message):
    enrol(["Anna", "1-0.wav"])
    enrol(["Bert", "2-0.wav"])
    speakers(["export", "--all", "--to=all.jsonl"])
    lines = (files / "all.jsonl").read_text().splitlines()
    known = json.loads(lines[1])
    change(known)
    (files / "all.jsonl").write_text(f"{lines[0]}\n{json.dumps(known)}\n")
    with pytest.raises(InputError, match=message):
        speakers(["import", "all.jsonl", "--store=other.db"])


@pytest.mark.parametrize(
    ("command", "arguments", "error", "message"),
    [
        (enrol, ["Anna"], UsageError, "expected a recording: FILE or --record SECONDS"),
        (enrol, ["Anna", "missing.wav"], InputError, "missing.wav: no such file"),
        (enrol, ["Anna", "."], InputError, "a folder"),
        (enrol, ["Anna", "1-0.wav", "--add", "--replace"], UsageError, "not allowed with"),
        (enrol, ["Anna", "1-0.wav", "--expires=soon"], UsageError, "expected never, days such as 90d, or a date"),
        (enrol, ["Anna", "1-0.wav", "--min_total_speech_s=-1"], UsageError, "--min_total_speech_s"),
        (enrol, ["\n", "1-0.wav"], InputError, "name of a speaker"),
        (identify, ["1-0.wav"], InputError, "no store of speakers. `mindvox enrol"),
        (identify, ["1-0.wav", "--target_rate=1"], UsageError, "target_rate"),
        (identify, [], UsageError, "expected a recording: FILE or --record SECONDS"),
        (speakers, [], UsageError, "required: COMMAND"),
        (speakers, ["list"], InputError, "no store of speakers"),
        (speakers, ["import", "missing"], InputError, "missing: no such export of speakers"),
    ],
)
def test_mistakes_are_no_answers(files, command, arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        command(arguments)
    assert type(caught.value) is error


def test_the_commands_need_neither_mindspore_nor_linux(files):
    enrol(["Anna", "1-0.wav"])
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "speakers", "list"], capture_output=True, text=True, check=False, cwd=files
    )
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.splitlines()[1].startswith("Anna")


@pytest.mark.parametrize("command", [enrol, enrol_all, identify, identify_all, verify])
def test_every_command_has_an_option_for_each_limit_of_a_recording(command, capsys):
    with pytest.raises(SystemExit):
        command(["--help"])
    options = capsys.readouterr().out.split()
    assert {f"--{limit.name}" for limit in fields(Limits)} <= set(options)


def test_the_limits_reach_the_listener(monkeypatch, tmp_path):
    monkeypatch.setattr(speaker_arguments, "open_embedder", lambda arguments: toy_embedder(tmp_path))
    monkeypatch.setattr(speaker_arguments.SpeechDetector, "open", LoudIsSpeech)
    parser = Parser()
    add_limit_arguments(parser)
    given = ["--min_net_speech_s=2", "--min_snr_db=3", "--max_clipped_share=0.4", "--min_voice_agreement=0.5"]
    assert speaker_arguments.open_listener(parser.parse_args(given)).limits == Limits(2.0, 3.0, 0.4, 0.5)
    with pytest.raises(UsageError, match="--max_clipped_share, .*share from 0 to 1"):
        speaker_arguments.open_listener(parser.parse_args(["--max_clipped_share=2"]))
