"""Each layout, read by preparation itself: trial list, tables of training, tables of evaluation, cohort."""

import json

import pytest

from mindvox.config import EvalPrepConfig, TrainPrepConfig
from mindvox.corpus.make_trials import main as make_trials
from mindvox.corpus.tables import make_eval_tables, make_train_tables
from mindvox.corpus.trials import read_trials

SPEAKERS, NUMBERS = ("an na", "bo", "cy", "di"), range(3)
PAIRS = [(speaker, number) for speaker in SPEAKERS for number in NUMBERS]


def line_up(folder, write_noise, place):
    """Write a recording for each speaker and number, and return their paths relative to the folder."""
    paths = {pair: place.format(*pair) for pair in PAIRS}
    for (speaker, number), path in paths.items():
        write_noise(folder / path, 4800 + 160 * number + len(speaker))
    return paths


def wav(folder, write_noise):
    line_up(folder, write_noise, "wav/{}/s/{}.wav")
    return {}


def folders(folder, write_noise):
    line_up(folder, write_noise, "{}/2024/05/{}.flac")
    return {}


def flat(folder, write_noise):
    line_up(folder, write_noise, "{}_{}.wav")
    return {"speaker_pattern": "{speaker}_*"}


def table(folder, write_noise):
    paths = line_up(folder, write_noise, "audio/{}{}.wav")
    rows = [f"{speaker},{path},0.1,0.25\n" for (speaker, _), path in paths.items()]
    (folder / "list.csv").write_text("".join(["speaker,path,start,stop\n", *rows]))
    return {"data_list": "list.csv"}


def path_speaker(folder, write_noise):
    paths = line_up(folder, write_noise, "audio/{}{}.wav")
    (folder / "list.txt").write_text("".join(f"{path}\t{speaker}\n" for (speaker, _), path in paths.items()))
    return {"data_list": str(folder / "list.txt")}


def speaker_path(folder, write_noise):
    paths = line_up(folder, write_noise, "audio/{}{}.wav")
    (folder / "list.txt").write_text("".join(f"{speaker}\t{path}\n" for (speaker, _), path in paths.items()))
    return {"data_list": str(folder / "list.txt")}


def kaldi(folder, write_noise):
    paths = line_up(folder, write_noise, "audio/{}{}.wav")
    lines = {
        "wav.scp": [f"r{index} {path}\n" for index, path in enumerate(paths.values())],
        "segments": [f"u{index} r{index} 0.1 0.25\n" for index in range(len(paths))],
        "utt2spk": [f"u{index} {speaker}\n" for index, (speaker, _) in enumerate(paths)],
    }
    for name, text in lines.items():
        (folder / name).write_text("".join(text))
    return {}


def lhotse(folder, write_noise):
    paths = line_up(folder, write_noise, "audio/{}{}.wav")
    cuts = []
    for (speaker, number), path in paths.items():
        recording = {"id": path, "sources": [{"type": "file", "channels": [0], "source": path}]}
        part = {"id": f"{speaker} {number}", "start": 0.0, "duration": 0.15, "speaker": speaker}
        cuts.append({"id": path, "start": 0.1, "duration": 0.15, "supervisions": [part], "recording": recording})
    (folder / "cuts.jsonl").write_text("".join(json.dumps(cut) + "\n" for cut in cuts))
    return {}


def cnceleb(folder, write_noise):
    line_up(folder, write_noise, "data/{}/{}.wav")
    write_noise(folder / "eval" / "enroll" / "ed-enroll.wav")
    return {}


def rawnet(folder, write_noise):
    line_up(folder, write_noise, "dev_wav/{}/s/{}.wav")
    return {}


LAYOUTS = [wav, folders, flat, table, path_speaker, speaker_path, kaldi, lhotse, cnceleb, rawnet]


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_a_layout_is_detected_and_prepared(make, tmp_path, write_noise):
    folder = tmp_path / "corpus"
    keys = make(folder, write_noise)
    options = [f"--{key}={value}" for key, value in keys.items()]
    assert make_trials([str(folder), str(tmp_path / "all.txt"), *options]) == 0
    lines = (tmp_path / "all.txt").read_text().splitlines(keepends=True)
    evaluation = EvalPrepConfig(
        data_folder=str(folder),
        save_folder=str(tmp_path / "eval"),
        verification_file=str(tmp_path / "all.txt"),
        train_annotation="",
        **keys,
    )
    every = make_eval_tables(evaluation)
    assert {u.spk_id for u in every.enrol + every.test} - {"ed"} == set(SPEAKERS)
    speaker = {u.utt_id: u.spk_id for u in every.enrol + every.test}
    trials = read_trials(tmp_path / "all.txt", known=speaker)
    assert all(trial.is_target == (speaker[trial.enrol] == speaker[trial.test]) for trial in trials)
    kept = [
        line
        for line, trial in zip(lines, trials, strict=True)
        if {speaker[trial.enrol], speaker[trial.test]} <= {"an na", "bo"}
    ]
    (tmp_path / "some.txt").write_text("".join(kept))
    evaluation.verification_file = str(tmp_path / "some.txt")
    some = make_eval_tables(evaluation)
    assert {u.spk_id for u in some.norm} - {"ed"} == {"cy", "di"}
    train = make_train_tables(
        TrainPrepConfig(
            data_folder=str(folder),
            save_folder=str(tmp_path / "train"),
            train_annotation=str(tmp_path / "train" / "train.csv"),
            valid_annotation=str(tmp_path / "train" / "dev.csv"),
            verification_file=str(tmp_path / "some.txt"),
            **keys,
        )
    )
    assert train.speakers.keys() - {"ed"} == {"cy", "di"}
    if make in (table, kaldi, lhotse):
        assert {(u.start, u.stop, u.duration_s) for u in train.train} == {(1600, 4000, 0.15)}
