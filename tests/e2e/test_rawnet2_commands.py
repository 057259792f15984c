"""The commands of RawNet2's Ascend port on a small corpus, with a tiny network."""

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.config import ROOT, load_config
from mindvox.config.sections import Config
from mindvox.models.checkpoint import read_checkpoint
from mindvox.scoring.metrics import eer
from tests.e2e.corpus import SAMPLE_RATE, voice

SIZES = ("--model.num_samples=2437", "--model.channels=2", "--model.wide_channels=2", "--model.gru_size=4")
SIZES += ("--model.emb_size=4", "--train_frames=2437", "--minibatch_size=4", "--num_workers=1", "--amp_level=O0")
SIZES += ("--loss_scale=1", "--device_target=CPU")
EPOCHS, STEPS = 2, 4  # of 16 recordings, 4 at once


def write_recordings(folder: Path, speakers: range) -> list[str]:
    names = []
    for speaker in speakers:
        for utterance in range(4):
            name = f"id{speaker:05d}/session/{utterance:05d}.wav"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / name, voice(speaker, utterance), SAMPLE_RATE)
            names.append(name)
    return names


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """The folders that the port's README shows, with VoxCeleb1-H's list and without -E's."""
    folder = tmp_path_factory.mktemp("rawnet2") / "DB"
    write_recordings(folder / "VoxCeleb2" / "wav", range(4))
    tested = write_recordings(folder / "VoxCeleb1" / "eval_wav", range(20, 22))
    others = write_recordings(folder / "VoxCeleb1" / "dev_wav", range(30, 32))
    for name, names in (("veri_test.txt", tested), ("list_test_hard.txt", tested[:2] + others)):
        pairs = [(a, b) for index, a in enumerate(names) for b in names[index + 1 :]]
        lines = [f"{int(a[:7] == b[:7])} {a} {b}\n" for a, b in pairs]
        (folder / "VoxCeleb1" / name).write_text("".join(lines))
    return folder


def call(folder: Path, script: str, *words: str) -> subprocess.CompletedProcess:
    command = ["bash", str(ROOT / "scripts" / script), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, env=os.environ)


@pytest.mark.slow
def test_full_training_writes_the_ports_folders_and_goes_on(data, tmp_path):
    words = (f"--data_path={data}", "--name=tiny", *SIZES)
    done = call(tmp_path, "train_full_1p.sh", *words, f"--num_epochs={EPOCHS}")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "train" / "train_1P" / "DNNS" / "tiny"
    lines = folder.joinpath("eers.txt").read_text().splitlines()
    eers = [
        float(re.fullmatch(rf"epoch:{epoch}, TA_eval_eer:(\d\.\d{{4}})", line)[1]) for epoch, line in enumerate(lines)
    ]
    assert len(eers) == EPOCHS

    for epoch, rate in enumerate(eers):
        arrays, meta = read_checkpoint(folder / "models" / f"TA_{epoch}_{rate:.4f}.ckpt")
        assert meta["epoch"] == epoch + 1 and meta["model"]["name"] == "rawnet2"
        scores, targets = np.loadtxt(folder / "results" / f"eval_epoch{epoch}.txt").T
        assert len(scores) == 28 and round(eer(scores, targets == 1).eer, 4) == rate
        log = (folder / "log" / f"eval_epoch{epoch}.txt").read_text()
        assert re.search(r"INFOFPS:\d+\.\d\d/epoch\]\n", log)
        assert round(float(re.search(r"INFOeer:(\S+)/epoch\]\n", log)[1]), 4) == rate
        assert len(json.loads((folder / "prof" / f"trace_epoch{epoch}.json").read_text())["traceEvents"]) == STEPS - 1
    best, meta = read_checkpoint(folder / "models" / "best_opt_eval.ckpt")
    assert meta["position"]["best_eer"] == pytest.approx(min(eers), abs=5e-5)
    assert meta["epoch"] == eers.index(min(eers)) + 1
    params = dict(line.split(":\t") for line in (folder / "f_params.txt").read_text().splitlines())
    assert (params["model.gru_size"], params["loss.input_length"], params["seed"]) == ("4", "10.0", "1234")
    assert load_config(Config, [f"--config_path={folder / 'models' / 'config.yaml'}"]).train_frames == 2437

    said = done.stdout
    assert "Vox1-E: no list_test_all2.txt or list_test_all.txt in" in said
    result = json.loads((folder / "results" / "list_test_hard" / "results.json").read_text())["results"]["baseline"]
    assert f"Vox1-H (list_test_hard.txt): eer:{result['eer']:.4f}" in said
    assert f"TA_eval_eer:{result['eer']:.4f}" in said
    assert re.search(r"Final Performance images/sec : \d+\.\d\d\n", said)
    assert f"Final Train Accuracy : {eers[-1]:.4f}" in said and "E2E Training Duration sec : " in said

    again = call(tmp_path, "train_full_1p.sh", *words, f"--num_epochs={EPOCHS + 1}")
    assert again.returncode == 0, again.stderr
    assert "resume: from" in again.stdout
    for name in ("train", "veri_test", "list_test_hard"):
        assert f"{Path('train', 'stores', name)}: already prepared" in again.stdout
    lines = (folder / "eers.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch:0", "epoch:1", "epoch:2"]


@pytest.mark.slow
def test_eight_devices_are_processes_where_there_is_a_cpu_alone(data, tmp_path):
    words = (f"--data_path={data}", *SIZES, "--num_epochs=1", "--minibatch_size=2")
    table = f"--rank_table={ROOT / 'hparams' / 'rank_table_cpu_2.json'}"
    done = call(tmp_path, "train_full_8p.sh", *words, table)
    assert done.returncode == 0, done.stderr
    assert "rank_table_cpu_2.json: 2 devices (CPU)" in done.stdout
    folder = tmp_path / "train" / "train_2P" / "DNNS" / "RawNet2"
    assert re.fullmatch(r"epoch:0, TA_eval_eer:\d\.\d{4}\n", (folder / "eers.txt").read_text())
    assert (folder / "models" / "best_opt_eval.ckpt").exists() and "Vox1-H (list_test_hard.txt): eer:" in done.stdout
    rate = float(re.search(r"INFOFPS:(\S+)/epoch\]", (folder / "log" / "eval_epoch0.txt").read_text())[1])
    assert f"Final Performance images/sec : {rate:.2f}" in done.stdout

    timed = call(tmp_path, "train_performance_8p.sh", *words, "--name=timed", "--store_path=train/stores")
    assert timed.returncode == 0, timed.stderr
    number = int(re.search(r"made one of (\d+) processes on the CPU \(8 were asked for\)", timed.stdout)[1])
    folder = tmp_path / "train" / f"train_{number}P" / "DNNS" / "timed"
    assert "Final Performance images/sec : " in timed.stdout and "Final Train Accuracy" not in timed.stdout
    assert not (folder / "eers.txt").exists() and list((folder / "prof").iterdir())
