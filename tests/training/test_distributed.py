"""Two real processes that train together: the same result as one, and an end in good order whatever happens."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from mindvox.config import ROOT
from mindvox.models.checkpoint import find_checkpoint, read_checkpoint
from mindvox.scoring.validation import make_validation
from mindvox.training.launch import LEFT_VARIABLE
from mindvox.training.loop import train
from mindvox.training.world import World
from tests.training.runs import settings, write_store

SCRIPT = ROOT / "scripts" / "run_distribute_train.sh"
LIMIT_S = 600  # of a run on a busy machine; one takes 25 s


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return write_store(tmp_path_factory.mktemp("store") / "feat_train")


def start(folder: Path, store: Path, *options: str) -> subprocess.Popen:
    """Start the pair in `folder`; each process takes 4 utterances, so that an epoch has 3 steps."""
    sizes = ("--inChannels=8", "--channels=8", "--emb_size=6", "--minibatch_size=4", "--train_frames=20")
    rates = ("--max_lrate=0.01", "--base_lrate=0.001", "--step_size=6", "--log_steps=1", "--tensorboard=false")
    (folder / "feat_train").symlink_to(store)
    words = ["bash", str(SCRIPT), str(ROOT / "hparams" / "rank_table_cpu_2.json")]
    return subprocess.Popen(
        [*words, "--train_data_path=feat_train", "--device_target=CPU", *sizes, *rates, *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=attend_to_ctrl_c,
    )


def attend_to_ctrl_c() -> None:
    """Tests may be a background job of a script, which ignores Ctrl-C with all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def losses(text: str) -> list[float]:
    return [float(loss) for loss in re.findall(r"cur loss:(\S+),", text)]


def eers(text: str) -> list[str]:
    return re.findall(r"valid eer:(\S+),", text)


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return the processes that work in a folder, by rank; the launcher is not among them."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.environ().get("MS_ROLE") and process.ppid() != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return sorted(found, key=lambda process: process.environ().get("MS_NODE_ID", ""))


def wait_for_step(folder: Path, step: int) -> None:
    """Wait until the pair has taken some steps."""
    log, deadline = folder / "train_parallel0" / "log", time.monotonic() + LIMIT_S
    while len(losses(log.read_text() if log.exists() else "")) < step:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def compare_with_one(store: Path, folder: Path, capsys, *options: str) -> tuple[str, str]:
    """Train as a pair, and as one process with both batches; return what each printed, once their weights agree.

    Losses are printed with four decimals: the rate is low, so that they stay large.
    """
    options = ("--batch_norm=frozen", "--save_checkpoint_epochs=0", "--max_lrate=0.002", *options)
    launcher = start(folder, store, *options)
    out, err = launcher.communicate(timeout=LIMIT_S)
    assert launcher.returncode == 0, err
    config = settings(store, folder / "alone", *options, "--log_steps=1", "--minibatch_size=8")
    alone = train(config, make_validation)
    pair, one = (read_checkpoint(find_checkpoint(path))[0] for path in (folder / "ckpt", alone.parent))
    assert pair.keys() == one.keys()
    for name, value in one.items():
        # Adam divides by the size of the gradient: rounding of one that is 0 (asp.conv.bias) moves it up to the rate.
        np.testing.assert_allclose(pair[name], value, rtol=1e-3, atol=1e-3, err_msg=name)
    assert not losses((folder / "train_parallel1" / "log").read_text())
    assert not processes_of(folder)
    return out, capsys.readouterr().out


def test_pair_computes_what_one_process_does_with_both_batches(either_model, store, tmp_path, capsys):
    pair, one = compare_with_one(store, tmp_path, capsys, "--num_epochs=7")
    assert "trained 21 steps" in pair and len(losses(pair)) == 21
    np.testing.assert_allclose(losses(pair)[:20], losses(one)[:20], rtol=1e-4)
    logs = [(tmp_path / f"train_parallel{rank}" / "log").read_text() for rank in (0, 1)]
    assert losses(logs[0]) == losses(pair)
    assert logs[1] == "" and "[INFO]" not in logs[0]  # none of MindSpore's own lines


def test_pair_compares_the_utterances_of_both_batches(small_model, tmp_path, capsys):
    store = write_store(tmp_path / "store" / "feat_train", num_speakers=6)
    pairs = ("--loss.name=angular_prototypical", "--sampler.name=speakers", "--num_epochs=7")
    pair, one = compare_with_one(store, tmp_path, capsys, *pairs)
    assert len(losses(pair)) == 21
    np.testing.assert_allclose(losses(pair)[:20], losses(one)[:20], rtol=1e-4)


@pytest.mark.slow
def test_pair_gathers_scales_and_validates_as_one_process_does(small_model, store, tmp_path, capsys):
    gathered = ("--accumulate_steps=3", "--loss_scale=dynamic", "--loss_scale_window=2", "--ema_decay=0.5")
    validated = ("--valid_utterances=4", "--valid_steps=6", "--valid_epochs=0")
    pair, one = compare_with_one(store, tmp_path, capsys, "--num_epochs=12", *gathered, *validated)
    assert len(losses(pair)) == 24
    np.testing.assert_allclose(losses(pair), losses(one), rtol=1e-3)
    assert len(eers(pair)) == 4 and eers(pair) == eers(one)


@pytest.mark.slow
def test_pair_starts_from_the_same_embeddings_of_its_speakers(small_model, store, tmp_path, capsys):
    first = train(settings(write_store(tmp_path / "others", num_speakers=9), tmp_path / "first", "--num_epochs=1"))
    capsys.readouterr()
    start_from = ("--pre_trained", f"--checkpoint_path={first}", "--imprint_utterances=2")
    pair, one = compare_with_one(store, tmp_path, capsys, "--num_epochs=3", *start_from)
    said = "classifier: 6 speakers start at the means of 12 embeddings"
    assert said in pair and said in one
    np.testing.assert_allclose(losses(pair), losses(one), rtol=1e-4)


def test_killed_worker_ends_all_within_a_minute_and_one_process_can_go_on(small_model, store, tmp_path, capsys):
    launcher = start(tmp_path, store, "--num_epochs=100000", "--save_checkpoint_steps=2", "--save_checkpoint_epochs=0")
    wait_for_step(tmp_path, 5)
    begin = time.monotonic()
    processes_of(tmp_path)[-1].kill()
    _, err = launcher.communicate(timeout=LIMIT_S)
    assert time.monotonic() - begin < 60
    assert launcher.returncode == 1
    assert "rank 1 was killed by SIGKILL" in err and "train_parallel1/log" in err
    assert not processes_of(tmp_path)
    left = read_checkpoint(find_checkpoint(tmp_path / "ckpt"))[1]["step"]
    until = left // 3 + 2
    path = train(settings(store, tmp_path, "--resume=auto", "--minibatch_size=8", f"--num_epochs={until}"))
    assert f"after {left} steps" in capsys.readouterr().out
    assert read_checkpoint(path)[1]["step"] == 3 * until


@pytest.mark.slow
def test_sigterm_writes_a_checkpoint_and_leaves_no_process(small_model, store, tmp_path):
    launcher = start(tmp_path, store, "--num_epochs=100000", "--save_checkpoint_epochs=0")
    wait_for_step(tmp_path, 3)
    launcher.send_signal(signal.SIGTERM)
    out, err = launcher.communicate(timeout=LIMIT_S)
    assert launcher.returncode == 143, err
    assert find_checkpoint(tmp_path / "ckpt").exists()
    assert "stopped; all processes of this server have ended" in err
    assert not processes_of(tmp_path)


@pytest.mark.slow
def test_second_signal_ends_processes_that_hang(small_model, store, tmp_path):
    launcher = start(tmp_path, store, "--num_epochs=100000", "--save_checkpoint_epochs=0")
    wait_for_step(tmp_path, 3)
    processes_of(tmp_path)[-1].suspend()
    launcher.send_signal(signal.SIGINT)
    assert any("a second signal ends at once" in line for line in launcher.stderr)  # reads until it is there
    begin = time.monotonic()
    launcher.send_signal(signal.SIGINT)
    launcher.communicate(timeout=LIMIT_S)
    assert time.monotonic() - begin < 30
    assert launcher.returncode == 128 + signal.SIGINT
    assert not processes_of(tmp_path)


@pytest.mark.slow
def test_error_of_one_process_is_reported_with_its_rank(small_model, store, tmp_path):
    launcher = start(tmp_path, store, "--minibatch_size=100")
    _, err = launcher.communicate(timeout=LIMIT_S)
    assert launcher.returncode == 1
    assert "rank" in err and "fewer than a batch of 100 of each of 2 devices" in err


def test_world_of_one_needs_no_communication():
    np.testing.assert_array_equal(World().gather(2.0, 3.0), [[2.0, 3.0]])
    World().refuse_difference({}, 0)


@pytest.mark.parametrize(("is_distributed", "code"), [("true", 0), ("false", -signal.SIGABRT)])
def test_process_of_a_distributed_run_ends_before_anything_can_crash(tmp_path, is_distributed, code):
    """MindSpore's own crash comes rarely: one that comes always stands in for it."""
    program = (
        "import atexit, os; from mindvox.config import Config, load_config;"
        "from mindvox.training.world import leave_world;"
        f"config = load_config(Config, ['--run_distribute={is_distributed}']);"
        "atexit.register(os.abort); print('all', end=''); leave_world(config)"
    )
    environment = {**os.environ, LEFT_VARIABLE: str(tmp_path), "MS_NODE_ID": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (code, "all")
    assert [path.name for path in tmp_path.iterdir()] == (["left-1"] if code == 0 else [])
