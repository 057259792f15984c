"""`mindvox enrol-all` and `identify-all`."""

import fcntl
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile

from mindvox.cli.speaker_batches import enrol_main, identify_main
from mindvox.corpus.sources import corpus_of, recordings_below
from mindvox.errors import InputError
from mindvox.extraction import EmbedderChoice, Workers
from mindvox.files import read_csv
from mindvox.speakers import batches
from mindvox.speakers.batches import Hearers, enrol_all, identify_all
from mindvox.speakers.identification import identification_facts
from mindvox.speakers.sqlite_store import SqliteStore
from mindvox.speakers.store import ModelIdentity, open_store
from mindvox.speech.quality import Limits
from tests.speakers.toys import RATE, toy_listener, voice


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Two recordings of each of three speakers in `people`, and others in `others`; the model is a toy."""
    for speaker, name in enumerate(("anna", "bert", "carl"), 1):
        (tmp_path / "people" / name).mkdir(parents=True)
        for number in range(2):
            soundfile.write(tmp_path / "people" / name / f"{number}.wav", voice(speaker, number), RATE)
    (tmp_path / "others" / "deep").mkdir(parents=True)
    soundfile.write(tmp_path / "others" / "a.wav", voice(2, 7), RATE)
    soundfile.write(tmp_path / "others" / "deep" / "b.wav", voice(9, 7), RATE)
    soundfile.write(tmp_path / "others" / "c.wav", voice(1, 7, duration_s=0.4), RATE)
    listener = toy_listener(tmp_path)
    monkeypatch.setattr("mindvox.cli.speaker_batches.open_listener", lambda arguments: listener)
    monkeypatch.setenv("MINDVOX_SPEAKERS", str(tmp_path / "speakers.db"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_is_enrolled_and_a_folder_is_identified(corpus, capsys):
    assert enrol_main(["people", "--group=staff"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "enrolled: 3 speakers; the store has 3 speakers"
    with open_store() as store:
        assert [sample.source for sample in store.get("anna").samples] == ["anna/0.wav", "anna/1.wav"]
        assert store.get("carl").terms.group == "staff"
    assert identify_main(["others", "--out=found.jsonl"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("3 speakers; a name needs a score of at least 0.7000")
    assert lines[2] == "found.jsonl: 1 identified, 1 inconclusive, 1 unknown"
    found = [json.loads(line) for line in (corpus / "found.jsonl").read_text().splitlines()]
    answers = {one["recording"]: (one["answer"], one["name"], one["code"]) for one in found}
    assert answers == {
        "a.wav": ("identified", "bert", ""),
        "c.wav": ("inconclusive", None, "too_short"),
        "deep/b.wav": ("unknown", None, ""),
    }


def test_a_run_that_was_cut_off_goes_on(corpus, capsys, monkeypatch):
    enrol_main(["people"])
    identify_main(["others", "--out=found.jsonl"])
    whole = (corpus / "found.jsonl").read_bytes()
    (corpus / "found.jsonl").write_bytes(whole[: whole.index(b"\n") + 40])  # within the second line
    heard = []
    hear = batches.hear
    monkeypatch.setattr(batches, "hear", lambda *given: heard.append(given[2].utt_id) or hear(*given))
    identify_main(["others", "--out=found.jsonl"])
    assert (corpus / "found.jsonl").read_bytes() == whole and heard == ["c.wav", "deep/b.wav"]
    heard.clear()
    soundfile.write(corpus / "people" / "anna" / "new.wav", voice(1, 5), RATE)
    (corpus / "people" / "dora").mkdir()
    soundfile.write(corpus / "people" / "dora" / "0.wav", voice(4), RATE)
    capsys.readouterr()
    assert enrol_main(["people"]) == 0
    assert heard == ["dora/0.wav"]  # who is enrolled is passed over
    assert capsys.readouterr().out.splitlines()[-1] == "enrolled: 1 speaker; the store has 4 speakers"


def test_what_is_not_enrolled_is_listed(corpus, capsys):
    soundfile.write(corpus / "people" / "anna" / "2.wav", voice(5), RATE)
    soundfile.write(corpus / "people" / "bert" / "2.wav", voice(2, duration_s=0.5), RATE)
    assert enrol_main(["people", "--problems=problems.csv"]) == 4
    assert capsys.readouterr().out.splitlines()[-1] == "enrolled: 2 speakers; the store has 2 speakers"
    rows = read_csv("problems.csv", ("speaker", "recording", "reason"))
    assert [row[:2] for row in rows] == [["anna", ""], ["bert", "bert/2.wav"]]
    assert "anna/2.wav: another voice" in rows[0][2] and rows[1][2].startswith("0.5 s of speech")


def test_parts_of_recordings_by_kaldis_folder(corpus):
    joined = corpus / "kaldi"
    joined.mkdir()
    both = [*voice(1, 0), *voice(2, 0)]
    soundfile.write(corpus / "both.wav", both, RATE)
    (joined / "wav.scp").write_text(f"both {corpus / 'both.wav'}\n")
    (joined / "segments").write_text("one both 0 3\ntwo both 3 6\n")
    (joined / "utt2spk").write_text("one anna\ntwo bert\n")
    assert enrol_main(["kaldi"]) == 0
    assert identify_main(["people", "--out=found.jsonl"]) == 0
    found = {one["recording"]: one["name"] for one in map(json.loads, (corpus / "found.jsonl").open())}
    assert found["anna/1.wav"] == "anna" and found["bert/1.wav"] == "bert" and found["carl/1.wav"] is None
    with open_store() as store:
        assert [sample.source for sample in store.get("bert").samples] == ["two"]


def test_lists_name_recordings(corpus):
    (corpus / "list.csv").write_text("path,speaker\npeople/anna/0.wav,Anna A.\npeople/bert/1.wav,Bert B.\n")
    assert enrol_main(["list.csv"]) == 0
    with open_store() as store:
        assert list(store.names()) == ["Anna A.", "Bert B."]
    assert identify_main(["list.csv", "--out=found.jsonl"]) == 0
    assert len((corpus / "found.jsonl").read_text().splitlines()) == 2


@dataclass(frozen=True)
class ToyChoice:
    """Opens the toy in worker processes; while the file `dies_once` exists, one process removes it and kills itself."""

    folder: str
    dies_once: str = ""

    def open(self):
        if self.dies_once and os.path.exists(self.dies_once):
            os.remove(self.dies_once)
            os.kill(os.getpid(), signal.SIGKILL)
        return toy_listener(Path(self.folder))


@pytest.mark.parametrize("dies", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_processes_enrol_and_identify_as_one_does(corpus, dies):
    """This also holds if a process is killed and the work is restarted."""
    flag = corpus / "flag"
    hearers = Hearers(ToyChoice(str(corpus), str(flag)), Workers(2))

    def attempt(work, *given):
        if dies:
            flag.touch()
            with pytest.raises(InputError, match="a process was killed"):
                list(work(*given, hearers=hearers))
        return work(*given, hearers=hearers)

    alone = _work(corpus / "alone", lambda work, *given: work(*given))
    assert _work(corpus / "by_two", attempt) == alone
    assert alone[0] == [("anna", True), ("bert", True), ("carl", True)]
    assert alone[2].count(b"\n") == 3 and b"too_short" in alone[2]


def _work(folder, call):
    """Enrol `people` and identify `others`; return who was enrolled, the store's embeddings, and the answers' file."""
    folder.mkdir()
    listener = toy_listener(folder)
    with SqliteStore.open(folder / "speakers.db", ModelIdentity.of(listener.embedder)) as store:
        done = list(call(enrol_all, store, listener, corpus_of("people")))
        given = (store, listener, recordings_below("others"), folder / "found.jsonl", identification_facts)
        call(identify_all, *given)
        embeddings = [sample.embedding.tolist() for name in store.names() for sample in store.get(name).samples]
        return [(one.name, one.enrolled) for one in done], embeddings, given[3].read_bytes()


def test_processes_get_the_model_and_the_limits_of_the_command(corpus, monkeypatch):
    given = []
    monkeypatch.setattr("mindvox.cli.worker_arguments.find_exported", lambda model: Path("m.onnx"))
    monkeypatch.setattr("mindvox.cli.speaker_batches.enrol_all", lambda *words: given.append(words[-1]) or [])
    assert enrol_main(["people", "--workers=3", "--engine=openvino", "--min_snr_db=3"]) == 0
    (hearers,) = given
    assert hearers.workers == Workers(3)
    assert hearers.choice.embedder == EmbedderChoice(str(corpus / "m.onnx"), "openvino", num_threads=1)
    assert hearers.choice.limits == Limits(min_snr_db=3)
    enrol_main(["people"])
    assert given[1] is None


def test_a_link_to_nothing_has_a_line(corpus):
    enrol_main(["people"])
    (corpus / "others" / "z.wav").symlink_to("nothing.wav")
    for _ in range(2):
        identify_main(["others", "--out=found.jsonl"])
        lines = [json.loads(line) for line in (corpus / "found.jsonl").read_text().splitlines()]
        assert [line["recording"] for line in lines] == ["a.wav", "c.wav", "deep/b.wav", "z.wav"]
    assert lines[-1]["answer"] == "inconclusive" and lines[-1]["code"] == "unusable"


def test_two_do_not_write_one_file(corpus):
    enrol_main(["people"])
    with open(".found.jsonl.lock", "w") as other:  # as another process would
        other.write("process 1 on elsewhere\n")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="process 1 on elsewhere writes here"):
            identify_main(["others", "--out=found.jsonl"])
    assert not (corpus / "found.jsonl").exists()


def test_mistakes(corpus):
    enrol_main(["people"])
    (corpus / "notes.txt").write_text("my notes\n")
    with pytest.raises(InputError, match=r"notes.txt:1: expected lines"):
        identify_main(["others", "--out=notes.txt"])
    assert (corpus / "notes.txt").read_text() == "my notes\n"
    (corpus / "empty").mkdir()
    with pytest.raises(InputError, match="found none"):
        identify_main(["empty", "--out=found.jsonl"])
    with pytest.raises(InputError, match="no such"):
        enrol_main(["missing"])
