"""Parts of a model that training leaves as they are, from a checkpoint of one's own or a public model."""

import numpy as np
import pytest

from mindvox.errors import InputError, UsageError
from mindvox.home import CHECKPOINT, VARIABLE, model_folder
from mindvox.models.checkpoint import read_checkpoint, write_checkpoint
from mindvox.public_models import PUBLIC_MODELS, SPEAKER
from mindvox.training.loop import describe_run, set_up, train
from tests.training.runs import settings, write_store

pytestmark = pytest.mark.usefixtures("small_model")
PUBLIC = next(name for name, model in PUBLIC_MODELS.items() if model.kind == SPEAKER)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("store") / "feat_train")


def test_frozen_parts_of_a_public_model_stay_and_the_rest_is_trained(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "home"))
    cached = model_folder(PUBLIC) / CHECKPOINT
    cached.parent.mkdir(parents=True)
    public = set_up(settings(store, tmp_path, "--seed=1"), "CPU")
    weights = {name: value for name, value in public.step_cell.state().items() if name.startswith("model.")}
    write_checkpoint(cached, weights, {**public.meta, "speakers_sha256": None, "epoch": 1, "step": 1})
    start = ("--pre_trained", f"--checkpoint_path={PUBLIC}", "--num_epochs=1", "--ema_decay=0.9")
    path = train(settings(store, tmp_path, *start, "--frozen_parts=layer,norm"))
    assert "not trained, and not counted: layer, norm\n" in capsys.readouterr().out
    before, after = read_checkpoint(cached)[0], read_checkpoint(path)[0]
    same = {name for name in before if name.startswith("model.") and np.array_equal(before[name], after[name])}
    of_norm = {f"model.norm.{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")}
    assert same == {"model.layer.weight", "model.layer.bias", *of_norm}
    assert not [name for name in after if name.startswith("opt.") and ("layer" in name or "norm" in name)]


def test_public_model_that_was_not_fetched_is_named(store, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "home"))
    with pytest.raises(InputError, match=f"Fetch it first: mindvox fetch {PUBLIC}"):
        set_up(settings(store, tmp_path, "--pre_trained", f"--checkpoint_path={PUBLIC}"), "CPU")


def test_a_part_is_a_whole_name_and_its_batch_norm_alone_is_frozen(store, tmp_path, capsys):
    run = set_up(settings(store, tmp_path, "--frozen_parts=fc.bias"), "CPU")
    model = run.step_cell.model_with_loss.model
    assert [parameter.name for parameter in model.trainable_params()] == [
        *("layer.weight", "layer.bias", "norm.gamma", "norm.beta", "fc.weight")
    ]
    assert model.norm.use_batch_statistics is not False
    describe_run(run, "CPU")
    assert "fc.bias" in capsys.readouterr().out
    frozen = set_up(settings(store, tmp_path, "--frozen_parts=norm"), "CPU").step_cell.model_with_loss.model
    assert frozen.norm.use_batch_statistics is False


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ("lay", "the model has no part 'lay'; its parts are layer, norm, fc"),
        ("layer,norm,fc", "nothing of the model is left to train"),
    ],
)
def test_parts_that_cannot_be_frozen_are_refused(store, tmp_path, parts, said):
    with pytest.raises(InputError, match=said):
        set_up(settings(store, tmp_path, f"--frozen_parts={parts}"), "CPU")


def test_part_that_is_named_twice_is_refused(store, tmp_path):
    with pytest.raises(UsageError, match="frozen_parts: expected different names of parts"):
        settings(store, tmp_path, "--frozen_parts=fc,fc")
