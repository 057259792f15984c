"""Trial lists that are drawn."""

from collections import Counter

import numpy as np
import pytest
import soundfile

from mindvox.corpus import make_trials
from mindvox.corpus.make_trials import MAX_TRIALS, choose_trials, main
from mindvox.corpus.trials import read_trials, speaker_of
from mindvox.errors import InputError, UsageError


def test_trials_are_distinct_pairs_of_both_kinds_up_to_the_limit():
    utt_ids = [f"id{voice}/s/{number}.wav" for voice in range(10) for number in range(20)]
    trials = choose_trials(utt_ids, seed=1)
    assert Counter(trial.is_target for trial in trials) == {True: MAX_TRIALS // 2, False: MAX_TRIALS // 2}
    assert len({frozenset((trial.enrol, trial.test)) for trial in trials}) == MAX_TRIALS
    assert all(trial.is_target == (speaker_of(trial.enrol) == speaker_of(trial.test)) for trial in trials)
    assert trials == choose_trials(utt_ids, seed=1) != choose_trials(utt_ids, seed=2)


def test_few_pairs_are_all_taken():
    utt_ids = [f"id{speaker}/s/{number}.wav" for speaker in range(3) for number in range(2)]
    assert Counter(trial.is_target for trial in choose_trials(utt_ids)) == {True: 3, False: 12}


def test_pairs_of_a_large_set_are_drawn_without_listing_all(monkeypatch):
    monkeypatch.setattr(make_trials, "FEW_PAIRS", 10)
    utt_ids = [f"id{speaker:03d}/s/{number}.wav" for speaker in range(50) for number in range(4)]
    trials = choose_trials(utt_ids, max_trials=100)
    assert Counter(trial.is_target for trial in trials) == {True: 50, False: 50}
    assert len({(trial.enrol, trial.test) for trial in trials}) == 100
    assert all(trial.is_target == (speaker_of(trial.enrol) == speaker_of(trial.test)) for trial in trials)


def test_list_is_written_and_never_over_another(tmp_path, capsys):
    for name in ("a/s/1.wav", "a/s/2.wav", "b/s/1.wav"):
        path = tmp_path / "wav" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(100), 16000)
    assert main([str(tmp_path), str(tmp_path / "list.txt")]) == 0
    assert "3 trials, 1 of them target" in capsys.readouterr().out
    assert len(read_trials(tmp_path / "list.txt")) == 3
    with pytest.raises(InputError, match="exists already"):
        main([str(tmp_path), str(tmp_path / "list.txt")])
    with pytest.raises(UsageError, match="at least 2"):
        main([str(tmp_path), str(tmp_path / "other.txt"), "--max_trials=1"])


def test_one_speaker_gives_no_list(tmp_path):
    path = tmp_path / "wav" / "a" / "1.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, np.zeros(100), 16000)
    with pytest.raises(InputError, match="expected two speakers"):
        main([str(tmp_path), str(tmp_path / "list.txt")])
    assert not (tmp_path / "list.txt").exists()


@pytest.fixture
def lists(tmp_path):
    """Two enrolled speakers and three test recordings, in lists as mvector's create_data.py writes them."""
    lines = {
        "enroll_list.txt": ["dataset/id1/e.wav\t7", "dataset/id2/e.wav\t8"],
        "trials_list.txt": ["dataset/id1/t.wav\t7", "dataset/id2/t.wav\t8", "dataset/id3/t.wav\t9"],
    }
    for name, content in lines.items():
        (tmp_path / name).write_text("\n".join(content) + "\n")
        for line in content:
            path = tmp_path / line.split("\t")[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.zeros(100), 16000)
    return [f"--enrol_list={tmp_path / 'enroll_list.txt'}", f"--test_list={tmp_path / 'trials_list.txt'}"]


def test_each_of_a_list_is_paired_with_each_of_another(lists, tmp_path, capsys):
    """mvector's trainer.py: cosine of every trials feature with all enrol features; equal labels are targets."""
    assert main([str(tmp_path), str(tmp_path / "cross.txt"), *lists]) == 0
    assert "6 trials, 2 of them target" in capsys.readouterr().out
    found = {(trial.enrol[8:11], trial.test[8:11]): trial.is_target for trial in read_trials(tmp_path / "cross.txt")}
    pairs = [(enrol, test) for enrol in ("id1", "id2") for test in ("id1", "id2", "id3")]
    assert found == {(enrol, test): enrol == test for enrol, test in pairs}


def test_lists_that_give_no_list_of_both_kinds_are_refused(lists, tmp_path):
    out = str(tmp_path / "cross.txt")
    with pytest.raises(UsageError, match="together with --test_list"):
        main([str(tmp_path), out, lists[0]])
    with pytest.raises(UsageError, match="--seed: has no effect"):
        main([str(tmp_path), out, *lists, "--seed=3"])
    (tmp_path / "enroll_list.txt").write_text("dataset/id1/e.wav\tother\n")
    with pytest.raises(InputError, match="all 3 pairs are non-target"):
        main([str(tmp_path), out, *lists])
    assert not (tmp_path / "cross.txt").exists()
