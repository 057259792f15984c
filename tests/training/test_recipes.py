"""Every recipe of hparams/ trains; every other YAML loads; the strong one from training to fine-tuning.

By default a small model stands in for ECAPA-TDNN, whose step takes many seconds to compile; the slow tests take it.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.config import Config, EvalPrepConfig, TrainPrepConfig, load_config
from mindvox.data.train_store import TrainStoreWriter
from mindvox.errors import InputError
from mindvox.losses.aam_softmax import AamSoftmax
from mindvox.models import load_model
from mindvox.models.checkpoint import read_checkpoint
from mindvox.training.average_checkpoints import main as average
from mindvox.training.loop import read_first, start_from, train
from tests.small_model import in_place_of_ecapa
from tests.training.test_training import write_store

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted(path.name for path in (ROOT / "hparams").glob("train_*.yaml"))
NUM_MELS, NUM_SPEAKERS, UTTERANCES = 8, 4, 3
ON_FEATURES = ("train_seed.yaml", "train_mini_librispeech.yaml")


@pytest.fixture(scope="module", params=["small", pytest.param("ecapa_tdnn", marks=pytest.mark.slow)])
def model(request) -> Iterator[str]:
    with in_place_of_ecapa() if request.param == "small" else nullcontext():
        yield request.param


@pytest.fixture(scope="module")
def folders(tmp_path_factory, model) -> dict[str, Path]:
    """A store of features and one of samples, MUSAN's three parts and rooms, all of seconds."""
    root = tmp_path_factory.mktemp("recipes")
    rng = np.random.default_rng(0)
    write_store(root / "feats", NUM_SPEAKERS)
    with TrainStoreWriter(root / "waves", None, {f"id{label}": label for label in range(NUM_SPEAKERS)}) as writer:
        for label in range(NUM_SPEAKERS):
            for index in range(UTTERANCES):
                writer.add(f"id{label}/{index}.wav", label, (3000 * rng.standard_normal(9000)).astype(np.int16))
    for name in ("musan/noise", "musan/music", "musan/speech", "rooms"):
        (root / name).mkdir(parents=True)
        soundfile.write(root / name / "a.wav", 0.1 * rng.standard_normal(4000) * np.exp(-np.arange(4000) / 700), 16000)
    return {path.name: path for path in root.iterdir()}


def recipe(name: str, folders: dict[str, Path], folder: Path, *options: str) -> Config:
    """A recipe with nothing changed but sizes, paths and the length of the run."""
    store = folders["feats" if name in ON_FEATURES else "waves"]
    paths = (f"--train_data_path={store}", f"--ckpt_save_dir={folder}", f"--noise_folder={folders['musan']}")
    sizes = (f"--inChannels={NUM_MELS}", "--channels=8", "--emb_size=6", "--minibatch_size=4", "--train_frames=21")
    length = ("--device_target=CPU", "--log_steps=1", f"--rir_folder={folders['rooms']}", *options)
    return load_config(Config, [f"--config_path={ROOT / 'hparams' / name}", *paths, *sizes, *length])


@pytest.fixture(scope="module")
def strong(folders, tmp_path_factory) -> Path:
    """The folder of checkpoints of the strong recipe, in two epochs."""
    folder = tmp_path_factory.mktemp("strong") / "ckpt"
    return train(
        recipe("train_sgd.yaml", folders, folder, "--num_epochs=2", "--warmup_epochs=1", "--save_checkpoint_steps=3")
    ).parent


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"train_sgd.yaml", "train_large_margin.yaml"}))
def test_recipe_trains(name, folders, tmp_path):
    options = ["--num_epochs=1", "--max_train_minutes=0"]
    if name == "train_cosine.yaml":
        options.append("--warmup_epochs=0.5")
    path = train(recipe(name, folders, tmp_path, *options))
    arrays, meta = read_checkpoint(path)
    assert meta["epoch"] == 1 and meta["step"] >= 3
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_strong_recipe_is_averaged_and_fine_tuned_on_the_speakers_alone(strong, folders, tmp_path, capsys):
    target = tmp_path / "average.ckpt"
    average([str(strong), "--last=2", f"--to={target}"])
    arrays, _ = read_checkpoint(target)
    assert arrays["loss.weight"].shape == (3 * NUM_SPEAKERS, 6)
    model, _ = load_model(target)
    np.testing.assert_array_equal(model.fc.weight.asnumpy(), arrays["model.fc.weight"])

    options = (f"--checkpoint_path={target}", "--num_epochs=2")
    path = train(recipe("train_large_margin.yaml", folders, tmp_path / "ckpt", *options))
    assert "model and classifier" in capsys.readouterr().out
    tuned, meta = read_checkpoint(path)
    assert tuned["loss.weight"].shape == (NUM_SPEAKERS, 6) and meta["loss"]["margin"] == 0.5
    moved = np.abs(tuned["loss.weight"] - arrays["loss.weight"][:NUM_SPEAKERS]).max()
    assert 0 < moved < 1e-2  # from the average's rows, at a small rate


def test_classifier_of_other_speakers_is_new(strong, folders):
    arrays, meta = read_checkpoint(sorted(strong.glob("*.ckpt"))[-1])
    model, _ = load_model(sorted(strong.glob("*.ckpt"))[-1])
    loss = AamSoftmax(6, NUM_SPEAKERS)
    before = loss.weight.asnumpy().copy()
    first = read_first(str(strong))
    start_from(first, model, loss, {**meta, "speakers_sha256": "others"})
    np.testing.assert_array_equal(loss.weight.asnumpy(), before)
    start_from(first, model, loss, meta)
    np.testing.assert_array_equal(loss.weight.asnumpy(), arrays["loss.weight"][:NUM_SPEAKERS])
    with pytest.raises(InputError, match="set sub_centers: 1"):
        start_from(first, model, AamSoftmax(6, NUM_SPEAKERS, sub_centers=3), meta)


def test_every_option_at_once_trains_and_its_average_is_evaluated(folders, tmp_path):
    options = ("--accumulate_steps=2", "--ema_decay=0.9", "--sub_centers=2", "--inter_topk=3", "--loss_scale=dynamic")
    margin = ("--margin_from_epoch=1", "--margin_to_epoch=2", "--schedule=cosine", "--scale_lrate=sqrt")
    path = train(recipe("train_seed.yaml", folders, tmp_path, *options, *margin, "--num_epochs=2"))
    arrays, meta = read_checkpoint(path)
    assert meta["loss"]["sub_centers"] == 2 and arrays["loss.weight"].shape == (2 * NUM_SPEAKERS, 6)
    assert arrays["sum.count"] == meta["step"] % 2 and arrays["opt.global_step"] == meta["step"] // 2
    model, _ = load_model(path)
    np.testing.assert_array_equal(model.fc.weight.asnumpy(), arrays["ema.fc.weight"])
    assert not np.array_equal(arrays["ema.fc.weight"], arrays["model.fc.weight"])


YAML_FILES = [*sorted((ROOT / "hparams").glob("*.yaml")), ROOT / "ecapa-tdnn_config.yaml"]


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.name)
def test_yaml_loads(path):
    if path.name.startswith("prepare_eval"):
        load_config(EvalPrepConfig, [str(path)])
    elif path.name.startswith("prepare_"):
        load_config(TrainPrepConfig, [str(path)])
    else:
        load_config(Config, [f"--config_path={path}"])


def test_seeds_recipe_is_the_default_configuration():
    given = load_config(Config, [f"--config_path={ROOT / 'hparams' / 'train_seed.yaml'}"])
    places = dict.fromkeys(("eval_data_path", "train_norm_path", "model_path"), "")
    assert given == replace(load_config(Config, []), **places)
