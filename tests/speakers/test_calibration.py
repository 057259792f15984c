"""`mindvox calibrate pairs`: from recordings of people to a calibration that `mindvox verify` takes."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from mindvox.cli.calibrate_pairs import main
from mindvox.corpus.sources import corpus_of, recordings_below
from mindvox.errors import InputError, UsageError
from mindvox.pair_calibration import PairCalibration
from mindvox.rules import ACCEPT, REJECT
from mindvox.speakers.calibration import Trials, calibrate
from mindvox.speech.quality import Quality
from tests.speakers.toys import RATE, toy_listener, voice

NAMES = ("anna", "bert", "carl", "dora", "emil", "fritz")
GOOD = Quality(3.0, 2.8, -20.0, 0.0, 20.0, 8000.0)


@pytest.fixture
def people(tmp_path, monkeypatch):
    """Three recordings of each of six speakers; the model is a toy."""
    for speaker, name in enumerate(NAMES, 1):
        (tmp_path / "people" / name).mkdir(parents=True)
        for number in range(3):
            soundfile.write(tmp_path / "people" / name / f"{number}.wav", voice(speaker, number), RATE)
    listener = toy_listener(tmp_path)
    monkeypatch.setattr("mindvox.cli.calibrate_pairs.open_listener", lambda arguments: listener)
    monkeypatch.chdir(tmp_path)
    return listener


def test_a_folder_of_people_becomes_a_calibration(people, tmp_path, capsys):
    soundfile.write(tmp_path / "people" / "anna" / "silent.wav", np.zeros(RATE), RATE)
    assert main(["people", "--to=mine.json", "--false_accepts=0.02", "--least_cosine=0.3"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "people: layout folders: 19 recordings of 6 speakers"
    assert lines[0] == "6 speakers, 18 recordings: 18 pairs of one person, 135 of two"
    assert lines[1].startswith("llr = ") and "* cosine" in lines[1] and "speech" not in lines[1]
    assert "same person from llr 3.91 and score 0.3: " in lines[3]
    assert lines[5].startswith("6 speakers show no smaller rates than 20.00% false accepts and 50.00% false rejects")
    assert lines[6] == "  rates of 0.02 and 0.01 need 300 speakers"
    assert lines[7] == "fewer than 30 speakers: length and noise are not weighed"
    assert lines[8].startswith("left out: anna/silent.wav: ")
    found = PairCalibration.open("mine.json", people.embedder)
    assert (found.name, found.false_accepts, found.false_rejects, found.least_cosine) == ("mine.json", 0.02, 0.01, 0.3)
    assert found.judge(0.95, (GOOD, GOOD)).answer == ACCEPT and found.judge(-0.1, (GOOD, GOOD)).answer == REJECT
    assert found.card["held_out"]["eer"] == 0 and found.card["fitted_on"]["num_speakers"] == 6
    assert "anna" not in (tmp_path / "mine.json").read_text()


def test_only_the_pairs_of_a_trial_list_are_compared(people, tmp_path, capsys):
    lines = [
        f"{int(one == other)} {one}/{first}.wav {other}/{second}.wav"
        for one in NAMES
        for other in NAMES
        for first, second in ((0, 1), (1, 2))
    ]
    (tmp_path / "trials.txt").write_text("\n".join(lines) + "\n")
    assert main(["people", "--trials=trials.txt", "--to=mine.json"]) == 0
    assert capsys.readouterr().out.startswith("6 speakers, 18 recordings: 12 pairs of one person, 60 of two\n")


@pytest.mark.parametrize("arguments", [[], ["--layout=folders"]])
def test_a_trial_list_must_agree_with_itself_and_with_the_folders(people, tmp_path, arguments):
    lines = ["1 anna/0.wav anna/1.wav", "1 anna/1.wav anna/2.wav", "0 anna/0.wav anna/2.wav"]
    (tmp_path / "trials.txt").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"trials.txt:3: says that anna/0.wav and anna/2.wav are of two people"):
        main(["people", "--trials=trials.txt", "--to=mine.json", *arguments])


def test_a_trial_list_tells_who_is_who_where_folders_do_not(people, tmp_path):
    (tmp_path / "trials.txt").write_text("1 anna/0.wav bert/0.wav\n1 bert/0.wav carl/0.wav\n0 dora/0.wav carl/0.wav\n")
    trials = Trials.read("trials.txt", "voxceleb", recordings_below("people"))
    speakers = trials.speakers()
    assert speakers["anna/0.wav"] == speakers["carl/0.wav"] != speakers["dora/0.wav"]


def test_too_few_speakers_are_refused_with_the_number(people, tmp_path):
    for name in NAMES[:2]:
        for number in (1, 2):
            (tmp_path / "people" / name / f"{number}.wav").unlink()
    with pytest.raises(InputError, match="people: 4 speakers with a pair .* at least 5 are needed .* 300 to show 0.01"):
        main(["people", "--to=mine.json"])
    assert not (tmp_path / "mine.json").exists()


def test_nobody_at_all_is_refused(people):
    with pytest.raises(InputError, match="0 speakers with a pair of usable recordings.* 1 recording cannot be used"):
        corpus = corpus_of("people")
        soundfile.write("people/anna/0.wav", np.zeros(RATE), RATE)
        calibrate(people, replace(corpus, recordings=corpus.recordings[:1]), "mine")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["people", "--to=x", "--false_accepts=0.9"], UsageError, "--false_accepts, .*expected a rate"),
        (["people", "--to=x", "--least_cosine=2"], UsageError, "expected a cosine"),
        (["people"], UsageError, "required: --to"),
        (["people", "--to=x", "--trials=trials.txt"], InputError, "trials.txt:1: eve/0.wav is not a recording of"),
    ],
)
def test_mistakes(people, tmp_path, arguments, error, message):
    (tmp_path / "trials.txt").write_text("1 eve/0.wav anna/0.wav\n")
    with pytest.raises(error, match=message):
        main(arguments)
