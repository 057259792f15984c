"""Every objective learns: 200 steps of a small model on speakers that an untrained one hardly tells apart."""

import re
from pathlib import Path

import numpy as np
import pytest

from mindvox.data.train_store import TrainStoreWriter
from mindvox.errors import UsageError
from mindvox.frontend.fbank import Fbank
from mindvox.registry import LOSSES
from mindvox.training.loop import train
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


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "ge2e" else pytest.mark.slow) for name in LOSSES]
)
def test_accuracy_of_the_last_twenty_of_200_steps_is_twice_that_of_the_first(name, store, tmp_path, capsys):
    train(config(store, tmp_path, name))
    accuracies = [float(value) for value in re.findall(r"acc_aver:(\S+)", capsys.readouterr().out)]
    assert len(accuracies) == 11  # of the first step, of what is left of the first twenty, and so on
    assert accuracies[-1] > 2 * accuracies[1], accuracies


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
