"""Every recipe of hparams/ trains; every other YAML loads; the strong one from training to fine-tuning.

By default a small model stands in for ECAPA-TDNN, whose step takes many seconds to compile; the slow tests take it. Of
the recipes of other toolkits one trains by default, and the others, at toy sizes of their networks, with --all.
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
from mindvox.frontend.kaldi_fbank import KaldiFbank
from mindvox.home import CHECKPOINT, VARIABLE, model_folder
from mindvox.losses.aam_softmax import AamSoftmax
from mindvox.models import create_model, load_model
from mindvox.models.checkpoint import read_checkpoint, write_checkpoint
from mindvox.scoring.validation import make_validation
from mindvox.training.average_checkpoints import main as average
from mindvox.training.loop import read_first, start_from, train
from tests.model_sizes import model_keys
from tests.small_model import in_place_of_ecapa
from tests.training.runs import write_store

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "hparams" / "recipes").glob("*.yaml"))
OF_ONES_OWN = ("small_corpus", "finetune_campplus")  # data
CHECKED = ("model", "loss", "front_end", "sampler", "schedule")
RECIPES = sorted(path.name for path in (ROOT / "hparams").glob("train_*.yaml"))
NUM_MELS, NUM_SPEAKERS, UTTERANCES = 8, 4, 3
ON_FEATURES = ("train_seed.yaml", "train_mini_librispeech.yaml")


@pytest.fixture(scope="module", params=["small", pytest.param("ecapa_tdnn", marks=pytest.mark.slow)])
def model(request) -> Iterator[str]:
    with in_place_of_ecapa() if request.param == "small" else nullcontext():
        yield request.param


ONLY_SMALL = pytest.mark.parametrize("model", ["small"], indirect=True)  # ECAPA-TDNN trains in the others


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


def of_source(path: Path, folders: dict[str, Path], folder: Path, *options: str) -> Config:
    """A recipe of another toolkit with nothing changed but sizes, paths and the length of the run."""
    given = load_config(Config, [f"--config_path={path}"])
    sizes = [*model_keys(given.model.name), "--minibatch_size=4"]
    is_of_samples = given.front_end.name == "samples"
    sizes += ["--train_frames=2500"] if is_of_samples else [f"--front_end.n_mels={NUM_MELS}", "--train_frames=21"]
    if hasattr(given.schedule.options, "warmup_epochs"):
        sizes.append(f"--warmup_epochs={min(0.5, given.schedule.options.warmup_epochs)}")
    files = [f"--train_data_path={folders['waves']}", f"--ckpt_save_dir={folder}", f"--noise_folder={folders['musan']}"]
    files += [f"--rir_folder={folders['rooms']}", "--device_target=CPU", "--log_steps=1", "--num_epochs=1", *options]
    return load_config(Config, [f"--config_path={path}", *sizes, *files], check=CHECKED)


def check_trained(path: Path) -> dict[str, np.ndarray]:
    arrays, meta = read_checkpoint(path)
    assert meta["step"] >= 2
    assert all(np.isfinite(array).all() for array in arrays.values())
    return arrays


@ONLY_SMALL
def test_recipe_for_a_small_corpus_trains_and_validates(folders, tmp_path, capsys):
    path = ROOT / "hparams" / "recipes" / "small_corpus.yaml"
    sizes = ("--model.emb_size=6", "--loss.scale=10")
    check_trained(train(of_source(path, folders, tmp_path, "--valid_utterances=4", *sizes), make_validation))
    said = capsys.readouterr().out
    assert "valid eer:" in said and "warning" not in said
    assert (tmp_path / "best.ckpt").exists()


@ONLY_SMALL
@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if not path.stem.endswith("_lm") and path.stem not in OF_ONES_OWN],
    ids=lambda path: path.stem,
)
def test_recipe_of_a_source_trains_and_its_second_stage_starts_from_it(path, folders, tmp_path):
    first = train(of_source(path, folders, tmp_path / "first"))
    before = check_trained(first)
    second = path.with_name(f"{path.stem}_lm.yaml")
    if second.exists():
        config = of_source(second, folders, tmp_path / "second", f"--checkpoint_path={first}")
        after = check_trained(train(config))
        rows = after["loss.weight"].shape[0]
        assert rows == NUM_SPEAKERS == len(before["loss.weight"]) // 3
        assert 0 < np.abs(after["loss.weight"] - before["loss.weight"][:rows]).max() < 0.1


@ONLY_SMALL
@pytest.mark.slow
def test_campplus_is_fine_tuned_from_its_public_name(folders, tmp_path, monkeypatch):
    path = ROOT / "hparams" / "recipes" / "finetune_campplus.yaml"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "home"))
    settings = load_config(Config, ["--config_path=/dev/null", *model_keys("campplus")]).model.to_dict()
    public = create_model(settings)
    cached = model_folder(load_config(Config, [f"--config_path={path}"]).checkpoint_path) / CHECKPOINT
    cached.parent.mkdir(parents=True)
    front_end = KaldiFbank(n_mels=NUM_MELS).to_dict()
    meta = {"model": settings, "front_end": front_end, "speakers_sha256": None, "epoch": 1, "step": 1}
    write_checkpoint(cached, {f"model.{parameter.name}": parameter for parameter in public.get_parameters()}, meta)

    options = ("--valid_utterances=4", "--frozen_parts=head,tdnn,tdnn_norm,blocks.0")
    after = check_trained(train(of_source(path, folders, tmp_path / "ckpt", *options), make_validation))
    before = read_checkpoint(cached)[0]
    trained = {name for name in before if not np.array_equal(before[name], after[name])}
    begins = (
        "model.blocks.1.",
        "model.blocks.2.",
        "model.out_norm.",
        "model.dense.",
    )  # dense_norm has nothing to train
    assert trained == {name for name in before if name.startswith(begins) and "moving" not in name}


YAML_FILES = [*sorted((ROOT / "hparams").glob("*.yaml")), *SOURCES, ROOT / "ecapa-tdnn_config.yaml"]


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.name)
def test_yaml_loads(path):
    if path.name.startswith("prepare_eval"):
        load_config(EvalPrepConfig, [str(path)])
    elif path.name.startswith("prepare_"):
        load_config(TrainPrepConfig, [str(path)])
    else:
        config = load_config(Config, [f"--config_path={path}"], check=CHECKED)
        if path in SOURCES:
            check_source(path, config)


def check_source(path: Path, config: Config) -> None:
    """Check that a recipe's network takes its features, and that it says its command and what is published."""
    text = path.read_text(encoding="utf-8")
    command = f"#     python train.py --config_path=hparams/recipes/{path.name} "
    assert command in text and ("\n# Source: " in text and "Published:" in text or "No publication." in text)
    if not config.pre_trained or path.stem.endswith("_lm"):
        section = config.front_end.to_dict()
        assert config.model.options.in_channels == section.get("n_mels", 1)


def test_recipes_are_those_that_the_page_lists():
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert [path.stem for path in SOURCES if f"`{path.stem}`" not in page] == []


def test_seeds_recipe_is_the_default_configuration():
    given = load_config(Config, [f"--config_path={ROOT / 'hparams' / 'train_seed.yaml'}"])
    places = dict.fromkeys(("eval_data_path", "train_norm_path", "model_path"), "")
    assert given == replace(load_config(Config, []), **places)
