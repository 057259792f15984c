"""Every objective learns: 200 steps of a small model on speakers that an untrained one hardly tells apart.

A run that is killed on the way ends with equal weights, with every objective and every schedule.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from mindvox.config import Config, load_config
from mindvox.data.train_store import TrainStoreWriter
from mindvox.errors import UsageError
from mindvox.frontend.fbank import Fbank
from mindvox.models.checkpoint import list_checkpoints, read_checkpoint
from mindvox.registry import LOSSES, SCHEDULES
from mindvox.training.loop import train
from tests.training.killed import train_until_killed
from tests.training.runs import settings

pytestmark = pytest.mark.usefixtures("small_model")
SPEAKERS, MELS = 40, 16
OPTIONS = {  # where the defaults are for larger batches or longer runs
    "sphere": ["--loss.lambda_decay=10"],
    "triplet": ["--loss.hard_rank=2"],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """Speakers differ in four directions of what comes and goes in time, recordings of all in twelve others."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.standard_normal((MELS, MELS)))[0]
    folder = tmp_path_factory.mktemp("store") / "feat_train"
    with TrainStoreWriter(folder, Fbank(n_mels=MELS).to_dict(), {f"id{n:02d}": n for n in range(SPEAKERS)}) as writer:
        for label in range(SPEAKERS):
            voice = 4 * rng.standard_normal(4) @ directions[:4]
            for index in range(8):
                recording = 4 * rng.standard_normal(12) @ directions[4:]
                feats = np.sin(np.arange(60))[:, None] * (voice + recording) + rng.standard_normal((60, MELS))
                writer.add(f"id{label:02d}/s/{index}.wav", label, feats.astype(np.float32))
    return folder


def config(store: Path, folder: Path, name: str, *more: str):
    options = LOSSES.get(name).Options()
    size = getattr(options, "num_utterances", 0)
    words = [f"--loss.name={name}", *OPTIONS.get(name, []), "--inChannels=16", "--channels=16", "--emb_size=12"]
    words += ["--sampler.name=speakers", f"--sampler.num_utterances={size}"] if size else []
    words += ["--minibatch_size=32", "--max_lrate=0.02", "--step_size=1000000", "--base_lrate=0.02", "--log_steps=20"]
    return settings(store, folder, *words, "--num_epochs=20", "--tensorboard=false", *more)


def check_kill(make_config: Callable[[Path], Config], whole: Path, folder: Path, step: int) -> None:
    """Kill a run after a step, resume it from its last checkpoint, and compare it with one that nothing disturbed."""
    config = make_config(folder)
    train_until_killed(config, step)
    assert 0 < max(list_checkpoints(config.ckpt_save_dir)) < step
    resumed, meta = read_checkpoint(train(replace(config, resume="auto")))
    expected, expected_meta = read_checkpoint(whole)
    assert meta["step"] == expected_meta["step"] > step and resumed.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(resumed[name], array, err_msg=name)


def check_learning(said: str) -> None:
    """Check that the accuracy of the last twenty of 200 steps is twice that of the first."""
    accuracies = [float(value) for value in re.findall(r"acc_aver:(\S+)", said)]
    assert len(accuracies) == 11  # of the first step, of what is left of the first twenty, and so on
    assert accuracies[-1] > 2 * accuracies[1], accuracies


def test_an_objective_learns(store, tmp_path, capsys):
    train(config(store, tmp_path, "ge2e"))
    check_learning(capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(LOSSES))
def test_every_objective_learns_and_a_killed_run_ends_with_equal_weights(name, store, tmp_path, capsys):
    every = ("--save_checkpoint_steps=25", "--save_checkpoint_epochs=0")
    whole = train(config(store, tmp_path / "whole", name, *every))
    check_learning(capsys.readouterr().out)
    check_kill(lambda folder: config(store, folder, name, *every), whole, tmp_path / "killed", step=110)


CURVES = {
    "cyclic": ["--step_size=7", "--base_lrate=0.001", "--schedule.cycle_decay=0.5"],
    "cosine": ["--warmup_epochs=2", "--base_lrate=0.001"],
    "exponential": ["--warmup_epochs=2", "--base_lrate=0.001"],
    "inverse": ["--warmup_epochs=1", "--schedule.decay=0.1"],
    "step": ["--schedule.step_epochs=1", "--schedule.step_factor=0.5"],
}
MARGINS = {
    "by epochs": ["--margin_from_epoch=1", "--margin_to_epoch=4"],
    "by shares": ["--loss.margin_from_share=0.2", "--loss.margin_to_share=0.9", "--margin_growth=linear"],
}


@pytest.mark.slow
@pytest.mark.parametrize(("curve", "margin"), list(zip(SCHEDULES, cycle(MARGINS), strict=False)))
def test_killed_run_ends_with_equal_weights_with_every_schedule(curve, margin, store, tmp_path):
    """Of 40 steps in 4 epochs, with schedules that move in each."""
    words = [f"--train_data_path={store}", f"--schedule={curve}", *CURVES[curve], "--max_lrate=0.02", *MARGINS[margin]]
    words += ["--inChannels=16", "--channels=8", "--emb_size=6", "--minibatch_size=32", "--train_frames=20"]
    words += ["--num_epochs=4", "--save_checkpoint_steps=4", "--save_checkpoint_epochs=0", "--tensorboard=false"]

    def make_config(folder: Path) -> Config:
        return load_config(Config, [*words, "--device_target=CPU", f"--ckpt_save_dir={folder}"])

    check_kill(make_config, train(make_config(tmp_path / "whole")), tmp_path / "killed", step=15)


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("ge2e", ["--sampler.name=shuffle"], "compares 2 utterances of each speaker in a batch, shuffle gives 1"),
        ("ge2e", ["--loss.num_utterances=3"], "compares 3 .* speakers gives 2. Set sampler.name: speakers and"),
        ("triplet", ["--loss.hard_rank=30"], "triplet needs at least 32 speakers in a batch, got 16"),
    ],
)
def test_batches_that_an_objective_cannot_use_are_refused(name, words, message, store, tmp_path):
    sampler = [] if "--sampler.name=shuffle" in words else ["--sampler.name=speakers", "--sampler.num_utterances=2"]
    with pytest.raises(UsageError, match=message):
        train(
            settings(store, tmp_path, f"--loss.name={name}", "--inChannels=16", "--minibatch_size=32", *sampler, *words)
        )
