"""Every registered model and objective, and toys of one file each, on the whole way from building to export.

The toys are registered by one line each. Nothing else of the project knows them. They go the whole way by default; real
models, whose graphs take a minute to compile, with --all. What is theirs by default: their own parity tests, and
tests/e2e. Objectives are resumed in tests/training/test_learning.py.
"""

import dataclasses
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

import mindvox.deploy.export as export_module
from mindvox.config import ROOT, Config, load_config
from mindvox.config.option import checked, spellings
from mindvox.deploy.export import export, random_input
from mindvox.engines.engine import libraries_of, load_engine
from mindvox.engines.exported import ExportedModel
from mindvox.errors import InputError, Stopped
from mindvox.frontend import FrontEnd
from mindvox.models import create_model, windows_of
from mindvox.models.checkpoint import (
    checkpoint_path,
    find_checkpoint,
    list_checkpoints,
    read_checkpoint,
    write_checkpoint,
)
from mindvox.registry import FRONT_ENDS, LOSSES, MODELS, SAMPLERS, SCHEDULES, Registry
from mindvox.scoring.checkpoint import evaluate_checkpoint
from mindvox.scoring.validation import make_validation
from mindvox.training import launch
from mindvox.training.launch import supervise
from mindvox.training.loop import train
from tests.deploy.toy import without_compiling
from tests.model_sizes import crop_frames, front_end_for, least_frames, model_keys, num_bins, settings_of
from tests.stores import write_eval_store
from tests.training.runs import FakeValidation, write_store

OF_BATCH = {"triplet_angular": 4, **dict.fromkeys(("angular_prototypical", "ge2e", "prototypical"), 2)}
OF_BATCH |= {"softmax_prototypical": 2, "triplet": 2}  # utterances of each speaker in a batch
EXPORTED = ["campplus", "ge2e_lstm", "eres2netv2", "rawnet2", "resnetse34l", "wespeaker_ecapa"]
"""Models that are exported by default. With ECAPA-TDNN, which tests/deploy/test_onnx_files.py has, they have the
operators of all but redimnet2, whose own tests/deploy/networks.py has; the others with --all."""


@pytest.fixture(scope="module", autouse=True)
def toys():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODELS, "_entries", dict(MODELS._entries))
        patch.setattr(LOSSES, "_entries", dict(LOSSES._entries))
        MODELS.add("mean_model", "tests.toys.mean_model:MeanModel")
        LOSSES.add("squared_loss", "tests.toys.squared_loss:SquaredLoss")
        yield


@pytest.fixture(scope="module")
def store_of(tmp_path_factory) -> Callable[[str], Path]:
    """Return the training store that a model takes."""

    @lru_cache
    def write(front_end: FrontEnd, shortest: int) -> Path:
        return write_store(tmp_path_factory.mktemp("store") / "feat_train", front_end=front_end, shortest=shortest)

    return lambda name: write(front_end_for(name), 15 if least_frames(name) < 15 else 2 * least_frames(name))


def config_of(model: str, loss: str, store: Path, folder: Path, *more: str) -> Config:
    return load_config(Config, words_of(model, loss, store, folder, *more), check=("model", "loss", "sampler"))


def words_of(model: str, loss: str, store: Path, folder: Path, *more: str) -> list[str]:
    words = [*model_keys(model), f"--loss.name={loss}", f"--train_data_path={store}", "--device_target=CPU"]
    if loss in OF_BATCH:
        words += ["--sampler.name=speakers", f"--sampler.num_utterances={OF_BATCH[loss]}"]
    words += ["--loss.hard_rank=0"] if loss == "triplet" else []
    words += [f"--minibatch_size={8 if loss in OF_BATCH else 7}", "--max_lrate=0.01", "--base_lrate=0.001"]
    words += [f"--ckpt_save_dir={folder / 'ckpt'}"]
    words += [f"--train_frames={crop_frames(model, 20)}", "--step_size=6", "--num_epochs=2"]
    words += ["--tensorboard=false", "--save_checkpoint_steps=1", *more]
    path = folder / "empty.yaml"
    folder.mkdir(exist_ok=True)
    path.write_text("")
    return [f"--config_path={path}", *words]


EVERY = ["mean_model", *(pytest.param(name, marks=pytest.mark.slow) for name in MODELS)]
PAIRS = [("mean_model", "squared_loss"), ("mean_model", "aam_softmax")]
PAIRS += [pytest.param("mean_model", name, marks=pytest.mark.slow) for name in LOSSES if name != "aam_softmax"]


@pytest.mark.parametrize(
    "registry", [FRONT_ENDS, MODELS, LOSSES, SAMPLERS, SCHEDULES], ids=lambda registry: registry.kind
)
def test_every_entry_names_a_class_whose_options_have_help_and_defaults_in_bounds(registry):
    for name in registry:
        cls = registry.get(name)
        assert checked(cls.Options()) == cls.Options()
        for field in dataclasses.fields(cls.Options):
            assert field.metadata["help"] and spellings(field)[0] == field.name
        assert cls.__doc__


def test_names_are_imported_when_they_are_asked_for_and_unknown_ones_are_errors():
    registry = Registry("thing", near="no.such.module:Thing")
    assert "near" in registry and list(registry) == ["near"]
    with pytest.raises(InputError, match="thing: expected one of near, got 'neer'; did you mean 'near'"):
        registry.get("neer")
    with pytest.raises(ValueError, match="already registered"):
        registry.add("near", "other:Thing")


@pytest.mark.parametrize(("model", "loss"), PAIRS[:2])
def test_run_that_is_stopped_and_resumed_has_equal_weights(model, loss, store_of, tmp_path):
    store = store_of(model)
    every = ("--valid_utterances=2", "--valid_steps=2", "--valid_epochs=0")
    whole = train(config_of(model, loss, store, tmp_path / "whole", *every), lambda *_: FakeValidation(0))
    with pytest.raises(Stopped):
        train(config_of(model, loss, store, tmp_path / "parts", *every), lambda *_: FakeValidation(0, stop_at=2))
    parts = train(
        config_of(model, loss, store, tmp_path / "parts", *every, "--resume=auto"), lambda *_: FakeValidation(2)
    )
    check_equal_runs(whole, parts)
    assert not {f"loss.{name}" for name in LOSSES.get(loss).scheduled} & read_checkpoint(whole)[0].keys()


def check_equal_runs(whole: Path, resumed: Path) -> None:
    """Check that two runs of several steps ended with equal weights."""
    (arrays, meta), (found, found_meta) = read_checkpoint(whole), read_checkpoint(resumed)
    assert arrays.keys() == found.keys() and meta["position"]["step"] > 3
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, found[name], err_msg=name)
    assert meta["model"] == found_meta["model"] and meta["loss"] == found_meta["loss"]


def check_half_precision(path: Path) -> None:
    """Check that the weights of a run in O2 are finite and in single precision."""
    arrays, _ = read_checkpoint(path)
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert all(array.dtype != np.float16 for array in arrays.values())


@pytest.mark.parametrize(("model", "loss"), PAIRS)
def test_half_precision_trains(model, loss, store_of, tmp_path):
    check_half_precision(train(config_of(model, loss, store_of(model), tmp_path, "--amp_level=O2", "--num_epochs=1")))


def test_checkpoint_is_validated_evaluated_and_exported(store_of, tmp_path):
    options = ("--num_epochs=1", "--valid_utterances=4")
    path = train(config_of("mean_model", "squared_loss", store_of("mean_model"), tmp_path, *options), make_validation)
    check_use("mean_model", path, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MODELS))
def test_real_model_trains_in_half_precision_goes_on_after_two_steps_and_is_used(name, store_of, tmp_path):
    """The run that goes on begins where one that a signal stopped, or killed, would: from a checkpoint alone.

    How a signal stops a run does not depend on the model. In single precision, tests/models compares the compiled
    gradients with those of other toolkits.
    """
    half = config_of(name, "aam_softmax", store_of(name), tmp_path / "whole", "--amp_level=O2")
    whole = train(half)
    check_half_precision(whole)
    assert whole.name.startswith("train_ecapa_vox12-" if name == "ecapa_tdnn" else f"train_{name}-")

    (tmp_path / "parts" / "ckpt").mkdir(parents=True)
    of_two_steps = list_checkpoints(whole.parent)[2]
    shutil.copy(of_two_steps, tmp_path / "parts" / "ckpt")
    words = ("--amp_level=O2", "--resume=auto")
    check_equal_runs(whole, train(config_of(name, "aam_softmax", store_of(name), tmp_path / "parts", *words)))
    check_use(name, whole, tmp_path)


def check_use(name: str, path: Path, folder: Path) -> None:
    """Evaluate a model's checkpoint, export it, and compute with what was exported."""
    bins = num_bins(name)
    sizes = {"num_frames": max(40, least_frames(name)), "front_end": front_end_for(name).to_dict()}
    write_eval_store(folder / "eval_store", "id", num_speakers=4, utts_each=2, **sizes)
    names = [f"id{speaker}/s/{utt}.wav" for speaker in range(4) for utt in range(2)]
    trials = [f"{int(a[:3] == b[:3])} {a} {b}\n" for row, a in enumerate(names) for b in names[row + 1 :]]
    (folder / "eval_store" / "veri_test2.txt").write_text("".join(trials))
    words = ["--config_path=/dev/null", f"--model_path={path}", "--device_target=CPU"]
    words += [f"--eval_data_path={folder / 'eval_store'}", f"--npy_file_path={folder / 'npys'}"]
    results = evaluate_checkpoint(load_config(Config, [*words, "--allow_seen_speakers"]))
    assert set(results) == {"baseline"}
    exported = export(load_config(Config, [*words, "--length=0", "--batch_size=0", f"--file_name={folder / 'm'}"]))
    engine = load_engine(exported)
    least = least_frames(name)
    assert engine.exported.windows == windows_of(read_checkpoint(path)[1]["model"])
    for num_frames in (least, crop_frames(name, least + 20)):
        assert engine.encode(np.ones((2, num_frames, bins), np.float32)).shape[0] == 2
    if engine.exported.windows is not None:
        return
    with pytest.raises(InputError, match=f"expected at least {least} frames"):
        engine.encode(np.ones((1, least - 1, bins), np.float32))


@pytest.mark.parametrize(
    ("file_format", "kind"), [("ONNX", "features"), pytest.param("IR", "waveform", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "name",
    [
        "mean_model",
        *(name if name in EXPORTED else pytest.param(name, marks=pytest.mark.slow) for name in MODELS),
    ],
)
def test_onnx_and_ir_have_the_numbers_of_the_cell_in_every_engine(name, file_format, kind, tmp_path, monkeypatch):
    pytest.importorskip("openvino", reason="needs the extra onnx")
    settings = settings_of(name)
    np.random.seed(0)
    model, front_end = create_model(settings).set_train(False), front_end_for(name)
    checkpoint = checkpoint_path(tmp_path, name, 1, 1)
    meta = {"model": settings, "front_end": front_end.to_dict(), "speakers_sha256": None, "epoch": 1, "step": 1}
    write_checkpoint(checkpoint, {f"model.{parameter.name}": parameter for parameter in model.get_parameters()}, meta)

    def encode(feats):
        with without_compiling():
            return model(Tensor(feats)).asnumpy()

    monkeypatch.setattr(export_module, "cell_encoder", lambda *_: encode)
    words = ["--config_path=/dev/null", f"--exp_ckpt_file={checkpoint}", f"--file_name={tmp_path / 'm'}"]
    words += [f"--file_format={file_format}", f"--input={kind}", "--length=0", "--batch_size=0", "--device_target=CPU"]
    exported = export(load_config(Config, words))
    rng = np.random.default_rng(0)
    description = ExportedModel.read(exported)
    for library in libraries_of(description):
        engine = load_engine(exported, library)
        for num_frames in (least_frames(name), crop_frames(name, least_frames(name) + 24)):
            batch, feats = random_input(rng, description, num_frames)
            expected = encode(feats)
            bound = (1e-5 if kind == "features" else 1e-3) * np.abs(expected).max()
            np.testing.assert_allclose(engine.encode(batch), expected, rtol=0, atol=bound, err_msg=engine.name)


@pytest.mark.slow  # by default tests/training/test_distributed.py has two ranks
@pytest.mark.parametrize("name", EVERY)
def test_two_ranks_train_with_equal_weights(name, store_of, tmp_path, monkeypatch):
    """The toy's step is compiled; those of real models would take minutes, and only their parameters differ."""
    if name != "mean_model":
        monkeypatch.setenv("WITHOUT_COMPILING", "1")
    program = Path(__file__).parent / "toys" / "train_toys.py"
    monkeypatch.setattr(launch, "supervise", lambda *work: supervise(*work, program=program))
    monkeypatch.chdir(tmp_path)
    loss = "squared_loss" if name == "mean_model" else "aam_softmax"
    words = words_of(name, loss, store_of(name), tmp_path, "--minibatch_size=4", "--num_epochs=1", "--log_steps=1")
    assert launch.main([str(ROOT / "hparams" / "rank_table_cpu_2.json"), *words]) == 0
    # The ranks compare their weights at the start and the end.
    arrays, meta = read_checkpoint(find_checkpoint("ckpt"))
    assert meta["run"]["global_batch"] == 8 and meta["position"]["step"] == 3
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert "aver loss" in (tmp_path / "train_parallel0" / "log").read_text()


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", list(MODELS))
def test_forms_of_both_devices_hold_the_same_parameters_and_agree(name, compiled):
    settings = settings_of(name)
    rng = np.random.default_rng(0)
    feats = Tensor(rng.standard_normal((2, crop_frames(name, 30), num_bins(name))).astype(np.float32))
    found = []
    for device in ("CPU", "Ascend"):
        ms.set_seed(0)
        model = create_model(settings, device).set_train(False)
        # The form of a CPU is compiled by what evaluates and exports it.
        with nullcontext() if compiled and device == "Ascend" else without_compiling():
            found.append(([(p.name, p.shape) for p in model.get_parameters()], model(feats).asnumpy()))
    assert found[0][0] == found[1][0]
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-4, atol=1e-5 * np.abs(found[1][1]).max())
