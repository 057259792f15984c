"""A run that is stopped, then killed again and again, ends with the weights of one that nothing disturbed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from mindvox.config import ROOT
from mindvox.models.checkpoint import find_checkpoint, list_checkpoints, read_checkpoint
from tests.small_model import in_place_of_ecapa
from tests.training.runs import write_store

RUN_TIMEOUT_S = 1500
EPOCH_STEPS = 3


def start(store: Path, folder: Path, num_epochs: int) -> subprocess.Popen:
    """Start train.py with a checkpoint after every step, so that many kills hit one that is being written."""
    small = ("--inChannels=8", "--channels=8", "--emb_size=6", "--minibatch_size=8", "--train_frames=20")
    rates = ("--base_lrate=0.001", "--max_lrate=0.01", "--step_size=7", f"--num_epochs={num_epochs}", "--log_steps=1")
    every = ("--save_checkpoint_steps=1", "--keep_checkpoint_max=3", "--tensorboard=false", "--device_target=CPU")
    paths = (f"--train_data_path={store}", f"--ckpt_save_dir={folder}", "--resume=auto")
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *paths, *small, *rates, *every],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PYTHONUNBUFFERED": "1", "PATH": "/usr/bin:/bin", "PYTHONPATH": os.environ["PYTHONPATH"]},
    )


def wait_for_a_step(process: subprocess.Popen) -> str:
    """Read lines until the first step is done."""
    said = ""
    for line in process.stdout:
        said += line
        if "aver loss" in line:
            return said
    raise AssertionError(f"train.py ended with {process.wait()}: {said}")


def kill_while_writing(process: subprocess.Popen, folder: Path) -> bool:
    """Kill the process while a checkpoint's temporary file is there, and tell whether it was left behind.

    The process is stopped before the second look: on a busy machine it might finish the file before it is killed.
    """
    while process.poll() is None:
        if any(folder.glob(".train_ecapa_vox12-*")):
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if any(folder.glob(".train_ecapa_vox12-*")):
                break
            process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()
    return any(folder.glob(".train_ecapa_vox12-*"))


def stop(store: Path, folder: Path, num_epochs: int) -> int:
    """Press Ctrl-C after the first step or later; return after how many steps the run stopped."""
    process = start(store, folder, num_epochs)
    wait_for_a_step(process)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=RUN_TIMEOUT_S)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "stopping after this step; a second signal ends at once, without a checkpoint\n" in said
    step = max(list_checkpoints(folder))
    path = find_checkpoint(folder)
    assert said.endswith(f"stopped as requested after step {step}; checkpoint: {path}. To continue: --resume=auto\n")
    return step


def run_with_kills(store: Path, folder: Path, num_kills: int, num_epochs: int) -> int:
    """Stop a run, then kill it so often, at random moments or while it writes; return how many left a part."""
    rng = np.random.default_rng(num_kills)
    torn, done = 0, [stop(store, folder, num_epochs)]
    for kill in range(num_kills):
        process = start(store, folder, num_epochs)
        said = wait_for_a_step(process)
        assert "resume: from" in said, said
        time.sleep(rng.uniform(0, 0.5))
        if kill % 2 == 0:
            torn += kill_while_writing(process, folder)
        process.kill()
        assert process.wait() == -signal.SIGKILL, "the run had ended before it was killed: give it more epochs"
        done.append(max(list_checkpoints(folder)))
        assert done[-2] <= done[-1] < EPOCH_STEPS * num_epochs
    process = start(store, folder, num_epochs)
    said, _ = process.communicate(timeout=RUN_TIMEOUT_S)
    assert process.returncode == 0, said
    return torn


@pytest.mark.parametrize(
    ("model", "num_kills", "num_epochs"),
    [
        ("small", 2, 250),
        # How a run is killed does not depend on the model, whose graph takes a minute to compile after every kill.
        pytest.param("small", 20, 1000, marks=pytest.mark.slow),
        pytest.param("ecapa_tdnn", 2, 100, marks=pytest.mark.slow),
    ],
)
def test_killed_run_ends_with_the_weights_of_an_unbroken_one(tmp_path, model, num_kills, num_epochs):
    with in_place_of_ecapa() if model == "small" else nullcontext():
        kill_and_compare(tmp_path, num_kills, num_epochs)


def kill_and_compare(tmp_path: Path, num_kills: int, num_epochs: int) -> None:
    store, whole, killed = write_store(tmp_path / "feat_train"), tmp_path / "whole", tmp_path / "killed"
    said, _ = start(store, whole, num_epochs).communicate(timeout=RUN_TIMEOUT_S)
    assert "a new run" in said
    torn = run_with_kills(store, killed, num_kills, num_epochs)
    assert torn > 0
    assert sorted(path.name for path in killed.iterdir()) == sorted(path.name for path in whole.iterdir())
    arrays, meta = read_checkpoint(find_checkpoint(killed))
    expected, expected_meta = read_checkpoint(find_checkpoint(whole))
    assert meta["step"] == expected_meta["step"] == EPOCH_STEPS * num_epochs
    assert arrays.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(arrays[name], value, err_msg=name)
