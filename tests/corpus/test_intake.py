"""Taking recordings in: the split, the files, what is refused."""

import csv

import numpy as np
import pytest
import soundfile
import yaml

from mindvox.cli.intake import main
from mindvox.config import Config, EvalPrepConfig, TrainPrepConfig, load_config
from mindvox.corpus.intake import split_speakers
from mindvox.corpus.tree import Utterance
from mindvox.corpus.trials import read_trials
from mindvox.errors import InputError, UsageError


def utterances_of(**counts):
    return [
        Utterance(f"{spk_id}/{number}", 1.0, f"{spk_id}/{number}", 0, 16000, spk_id)
        for spk_id, count in counts.items()
        for number in range(count)
    ]


def rows(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def recordings(tmp_path, write_noise):
    """Six speakers with three recordings each, `an na/x 0.wav`; and a recording that cannot be read."""
    for speaker in ("an na", "bo", "cy", "di", "ed", "fo"):
        for number in range(3):
            write_noise(tmp_path / "mine" / speaker / f"x {number}.wav", 3200 + 10 * number)
    (tmp_path / "mine" / "bo" / "broken.wav").write_text("no audio")
    return tmp_path / "mine"


@pytest.mark.parametrize(("wanted", "num_test"), [(2, 2), (3, 3), (0.5, 3), (0.1, 2)])
def test_speakers_are_split_by_number_or_share(wanted, num_test):
    split = split_speakers(utterances_of(a=3, b=3, c=3, d=3, e=3, f=3), wanted, seed=1)
    train, test = ({utterance.spk_id for utterance in part} for part in split)
    assert (len(train), len(test)) == (6 - num_test, num_test)
    assert not train & test
    assert len(split.train) + len(split.test) == 18


def test_the_seed_decides_and_speakers_with_one_recording_train():
    utterances = utterances_of(a=3, b=1, c=3, d=1, e=3, f=3)
    splits = [split_speakers(utterances, 2, seed) for seed in range(20)]
    assert splits[3] == split_speakers(utterances, 2, seed=3)
    assert len({split.test[0].spk_id for split in splits}) > 1
    assert {"b", "d"} <= set.intersection(*({utterance.spk_id for utterance in split.train} for split in splits))


@pytest.mark.parametrize("counts", [{"a": 3, "b": 3, "c": 3}, {"a": 3, "b": 1, "c": 1, "d": 1, "e": 1}])
def test_too_few_speakers(counts):
    with pytest.raises(InputError, match=r"--test_speakers: 2 of \d speakers cannot be test speakers"):
        split_speakers(utterances_of(**counts), 2, seed=1)


def test_files_of_a_corpus(recordings, tmp_path, capsys):
    target = tmp_path / "my target"
    assert main([str(recordings), str(target), "--test_speakers=2", "--max_trials=10"]) == 0
    train, test = rows(target / "train_list.csv"), rows(target / "test_list.csv")
    assert {row["speaker"] for row in train} | {row["speaker"] for row in test} == {
        "an na",
        "bo",
        "cy",
        "di",
        "ed",
        "fo",
    }
    assert (len(train), len(test)) == (12, 6)
    assert all(row["path"] == row["id"] for row in train)  # relative to the corpus's folder
    trials = read_trials(target / "trials.txt", known=[row["id"] for row in test])
    assert {name for trial in trials for name in trial[1:]} <= {row["id"] for row in test}
    assert len(trials) == 10
    assert rows(target / "skipped.csv")[0]["utt_id"] == "bo/broken.wav"
    printed = capsys.readouterr().out
    assert "layout folders: 19 recordings of 6 speakers" in printed
    assert "left out: 1 recordings" in printed
    assert f"python train_data_prepare.py '{target}/prepare_train.yaml'" in printed


def test_its_yaml_files_are_configurations(recordings, tmp_path):
    target = tmp_path / "2024_05_01"
    main([str(recordings), str(target)])
    train = load_config(TrainPrepConfig, [str(target / "prepare_train.yaml")])
    evaluation = load_config(EvalPrepConfig, [str(target / "prepare_eval.yaml")])
    config = load_config(Config, [f"--config_path={target / 'train.yaml'}"])
    assert train.data_folder == evaluation.data_folder == evaluation.train_data_folder == str(recordings)
    assert evaluation.train_annotation == str(target / "tables" / "train" / "save" / "train.csv")
    assert (config.train_data_path, config.eval_data_path) == (train.feat_folder, evaluation.feat_eval_folder)
    assert yaml.safe_load((target / "train.yaml").read_text())["minibatch_size"] == 12


def test_nothing_is_written_over_or_left_by_a_failure(recordings, tmp_path):
    main([str(recordings), str(tmp_path / "target")])
    with pytest.raises(InputError, match="has train_list.csv already"):
        main([str(recordings), str(tmp_path / "target")])
    with pytest.raises(InputError, match="5 of 6 speakers cannot be test speakers"):
        main([str(recordings), str(tmp_path / "other"), "--test_speakers=5"])
    assert not (tmp_path / "other").exists()


def test_a_test_recording_that_evaluation_would_refuse_is_left_out(recordings, tmp_path, write_noise):
    for speaker in ("an na", "bo", "cy", "di", "ed", "fo"):
        path = write_noise(recordings / speaker / "cut.flac", 64000)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # the header alone does not tell
        soundfile.write(recordings / speaker / "silent.wav", np.zeros(16000), 16000)
    main([str(recordings), str(tmp_path / "target"), "--test_speakers=2"])
    tested = {row["id"].split("/")[1] for row in rows(tmp_path / "target" / "test_list.csv")}
    assert tested == {"x 0.wav", "x 1.wav", "x 2.wav"}
    skipped = [row["utt_id"].split("/")[1] for row in rows(tmp_path / "target" / "skipped.csv")]
    assert (skipped.count("cut.flac"), skipped.count("silent.wav")) == (2, 2)


def test_a_list_is_a_source(recordings, tmp_path):
    lines = [f"{path.parent.name}\t{path.relative_to(tmp_path)}\n" for path in sorted(recordings.rglob("x *.wav"))]
    (tmp_path / "list.txt").write_text("".join(lines))
    main([str(tmp_path / "list.txt"), str(tmp_path / "target")])
    assert rows(tmp_path / "target" / "test_list.csv")[0]["path"].startswith("mine/")
    with pytest.raises(UsageError, match="SOURCE is a list already"):
        main([str(tmp_path / "list.txt"), str(tmp_path / "other"), f"--data_list={tmp_path / 'list.txt'}"])


@pytest.mark.parametrize("wrong", ["1", "0", "2.5", "many", "-1"])
def test_wrong_numbers_of_test_speakers(recordings, tmp_path, wrong):
    with pytest.raises(UsageError, match="expected a number of at least 2, or a share below 1"):
        main([str(recordings), str(tmp_path / "target"), f"--test_speakers={wrong}"])


def test_a_name_that_no_trial_list_can_hold(recordings, tmp_path, write_noise):
    for speaker in ("an na", "bo", "cy", "di", "ed", "fo"):
        write_noise(recordings / speaker / "a\tb.wav")
    with pytest.raises(InputError, match=r"a trial list cannot name '.*a\\tb.wav'"):
        main([str(recordings), str(tmp_path / "target")])


def test_cnceleb_has_its_own_split(tmp_path):
    for name in ("data/id1/a.wav", "eval/enroll/id800-enroll.wav"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="CN-Celeb has its own test speakers"):
        main([str(tmp_path), str(tmp_path / "target")])
