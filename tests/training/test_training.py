"""Training on a small store of separable speakers: settings, batches, log, checkpoints, errors."""

import dataclasses
import re
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindvox.config import Choice, Config, Given, load_config
from mindvox.data.pipeline import TrainBatches, random_crop
from mindvox.data.train_store import TrainStoreWriter
from mindvox.errors import InputError, UsageError
from mindvox.frontend.fbank import Fbank
from mindvox.frontend.spectrogram import Spectrogram
from mindvox.models import load_model
from mindvox.models.checkpoint import find_checkpoint, list_checkpoints, read_checkpoint
from mindvox.registry import MODELS
from mindvox.training.checkpoints import CheckpointWriter
from mindvox.training.log import TrainingLog
from mindvox.training.loop import describe_run, fit, set_up, train
from mindvox.training.position import Position
from tests.training.runs import NUM_MELS, settings, write_store

pytestmark = pytest.mark.usefixtures("small_model")  # the whole way with ECAPA-TDNN: tests/e2e, test_kill_and_resume
FRONT_END = Fbank(n_mels=NUM_MELS)
LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+, epoch:\d+/\d+, iter-\d+/\d+, aver loss:\d+\.\d{4}, cur loss:\d+\.\d{4}, "
    r"acc_aver:\d\.\d{4}"
)
FIRST_LINE = re.compile(r"  lr:\S+, first step:\d+\.\d s, compilation included")
SPEED_LINE = re.compile(r"  lr:\S+, utts/s:\d+\.\d, left:\d+:\d\d:\d\d")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return write_store(tmp_path_factory.mktemp("store") / "feat_train")


@pytest.fixture(scope="module")
def trained(store, small_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return train(settings(store, folder, "--keep_checkpoint_max=2", "--save_checkpoint_steps=3"))


def test_training_learns_and_logs_in_the_seeds_form(store, tmp_path, capsys):
    path = train(settings(store, tmp_path, "--keep_checkpoint_max=2"))
    said = capsys.readouterr().out.splitlines()
    lines = [line for line in said if "aver loss" in line]
    assert all(LINE.fullmatch(line) for line in lines)
    speeds = [line for line in said if line.startswith("  lr:")]
    assert FIRST_LINE.fullmatch(speeds[0])  # no time left from a step that was compiled
    assert len(speeds) == len(lines) and all(SPEED_LINE.fullmatch(line) for line in speeds[1:])
    assert max(len(line) for line in said if not LINE.fullmatch(line) and str(tmp_path) not in line) <= 100
    assert [re.search(r"epoch:(\d/\d), iter-(\d/\d)", line).groups() for line in lines[:3]] == [
        ("1/4", "1/3"),
        ("1/4", "2/3"),
        ("2/4", "1/3"),
    ]
    losses = [float(re.search(r"aver loss:(\S+),", line).group(1)) for line in lines]
    assert losses[-1] < 0.7 * losses[0]
    assert path.name == "train_ecapa_vox12-4_12.ckpt"


def test_run_leaves_newest_checkpoints_configuration_and_speakers(trained, store):
    names = sorted(path.name for path in trained.parent.iterdir())
    kept = ["train_ecapa_vox12-3_9.ckpt", "train_ecapa_vox12-4_12.ckpt"]
    assert names == ["config.yaml", "speakers.csv", "tensorboard", *kept]
    assert (trained.parent / "speakers.csv").read_bytes() == (store / "speakers.csv").read_bytes()
    saved = load_config(Config, [f"--config_path={trained.parent / 'config.yaml'}"])
    assert saved.model.options.channels == 8 and saved.schedule.options.max_lrate == 0.01


# Issue 12, B17. Second variants: a checkpoint by steps or minutes resets the minute; what steps ask for has no limit.


def write_epochs(config, monkeypatch, num_epochs: int, seconds: float) -> CheckpointWriter:
    """Return the writer after epochs of one step, which last so many seconds each."""
    run = set_up(config, "CPU")
    now = [1000.0]
    monkeypatch.setattr("mindvox.training.checkpoints.time.monotonic", lambda: now[0])
    writer = CheckpointWriter(config, run.step_cell, run.meta)
    for step in range(1, num_epochs + 1):
        now[0] += seconds
        writer.after_step(Position(step=step, epoch=step))
    return writer


def test_epochs_of_seconds_write_one_checkpoint_a_minute(store, tmp_path, monkeypatch):
    writer = write_epochs(settings(store, tmp_path), monkeypatch, num_epochs=12, seconds=15)
    assert list(list_checkpoints(writer.folder)) == [4, 8, 12]
    writer.finish(Position(step=13, epoch=13))
    assert list(list_checkpoints(writer.folder)) == [4, 8, 12, 13]


def test_checkpoints_by_steps_are_written_however_fast_and_make_epochs_wait(store, tmp_path, monkeypatch):
    config = settings(store, tmp_path, "--save_checkpoint_steps=5")
    writer = write_epochs(config, monkeypatch, num_epochs=12, seconds=15)
    assert list(list_checkpoints(writer.folder)) == [4, 5, 9, 10]


def test_an_epoch_that_lasts_over_a_minute_has_its_checkpoint(store, tmp_path, monkeypatch):
    writer = write_epochs(settings(store, tmp_path), monkeypatch, num_epochs=3, seconds=61)
    assert list(list_checkpoints(writer.folder)) == [1, 2, 3]


# Issue 12, B14: training on one speaker. Second variants: two speakers in the table, records of one of them; a store of
# waveforms; data that is trivial although it has several labels.


@pytest.mark.parametrize("num_listed", [1, 2])
@pytest.mark.parametrize("kind", ["fbank", "waveform"])
def test_records_of_one_speaker_are_refused(tmp_path, num_listed, kind):
    rng = np.random.default_rng(0)
    front_end = Fbank(n_mels=NUM_MELS).to_dict() if kind == "fbank" else None
    with TrainStoreWriter(tmp_path / "one", front_end, {f"id{label}": label for label in range(num_listed)}) as writer:
        for index in range(10):
            feats = rng.standard_normal((20, NUM_MELS)).astype(np.float32)
            writer.add(f"id0/{index}", 0, feats if front_end else np.arange(3200, dtype=np.int16))
    with pytest.raises(InputError, match=r"one: all 10 records are of one speaker: .* at least two speakers"):
        set_up(settings(tmp_path / "one", tmp_path), "CPU")


def log_of(config: Config, store: Path, losses: list[float], accuracies: list[float], capsys) -> str:
    batches = TrainBatches(store, 8, 20, 0)
    with TrainingLog(config, batches, Position()) as log:
        for step, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), start=1):
            log.after_step(Position(step=step, record=8), loss, accuracy, 0.1, 0.2)
    return capsys.readouterr().out


def test_data_that_is_told_apart_at_once_is_said_once(store, tmp_path, capsys):
    config = settings(store, tmp_path, "--tensorboard=false", "--log_steps=100")
    said = log_of(config, store, [3.0] + [0.0] * 15, [0.5] + [1.0] * 15, capsys)
    assert said.count("warning: loss 0.0000, accuracy 1 since step 2") == 1


@pytest.mark.parametrize(
    ("losses", "accuracies", "options"),
    [
        ([0.01] * 30, [1.0] * 30, []),  # right, but not certain
        ([0.0] * 30, [1.0, 0.9] * 15, []),
        ([3.0] * 20 + [0.0] * 10, [1.0] * 30, []),  # learnt
        ([0.0] * 30, [1.0] * 30, ["--pre_trained", "--checkpoint_path=x"]),
    ],
)
def test_a_small_loss_is_not_always_trivial_data(store, tmp_path, capsys, losses, accuracies, options):
    config = settings(store, tmp_path, "--tensorboard=false", "--log_steps=100", *options)
    assert "warning" not in log_of(config, store, losses, accuracies, capsys)


def test_checkpoint_holds_model_loss_and_optimiser_under_their_names(trained):
    arrays, meta = read_checkpoint(trained)
    assert {name.split(".")[0] for name in arrays} == {"model", "loss", "opt"}
    assert "opt.moment1.fc.weight" in arrays and "loss.weight" in arrays
    assert (meta["epoch"], meta["step"]) == (4, 12)
    model, _ = load_model(trained)
    np.testing.assert_array_equal(model.fc.weight.asnumpy(), arrays["model.fc.weight"])


def test_one_seed_gives_the_same_weights_bit_for_bit(trained, store, tmp_path):
    again = train(settings(store, tmp_path, "--keep_checkpoint_max=2", "--num_workers=2"))
    first, second = read_checkpoint(trained)[0], read_checkpoint(again)[0]
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_training_stops_when_its_time_is_over(store, tmp_path, capsys):
    path = train(
        settings(store, tmp_path, "--max_train_minutes=0.02", "--num_epochs=1000", "--save_checkpoint_epochs=0")
    )
    assert "override num_epochs" in capsys.readouterr().out
    assert len(list(path.parent.glob("*.ckpt"))) == 1


def test_loss_that_is_not_finite_stops_the_run_and_names_the_utterances(store, tmp_path):
    config = settings(store, tmp_path)
    run = set_up(config, "CPU")
    run.step_cell.model_with_loss.model.fc.bias.set_data(Tensor(np.full(6, np.nan), ms.float32))
    with pytest.raises(InputError, match=r"the loss became nan in step 1 at learning rate 0.001.*id0\d/s/\d.wav"):
        fit(run, CheckpointWriter(config, run.step_cell, run.meta))
    assert not list(tmp_path.glob("ckpt/*.ckpt"))


def test_folder_of_another_run_is_refused(trained, store):
    before = trained.read_bytes()
    with pytest.raises(InputError, match="holds checkpoints of an earlier run.*pass --resume=auto"):
        train(settings(store, trained.parent.parent))
    assert trained.read_bytes() == before


def test_pre_trained_model_and_classifier_are_loaded_but_not_the_margin(trained, store, tmp_path):
    run = set_up(settings(store, tmp_path, "--pre_trained", f"--checkpoint_path={trained}", "--margin=0.5"), "CPU")
    arrays, _ = read_checkpoint(trained)
    parts = run.step_cell.model_with_loss
    np.testing.assert_array_equal(parts.model.fc.weight.asnumpy(), arrays["model.fc.weight"])
    np.testing.assert_array_equal(parts.loss.weight.asnumpy(), arrays["loss.weight"])
    assert float(parts.loss.margin) == 0.5


def test_pre_trained_on_other_speakers_gets_a_new_classifier(trained, tmp_path, capsys):
    other = write_store(tmp_path / "other", num_speakers=9)
    run = set_up(settings(other, tmp_path, "--pre_trained", f"--checkpoint_path={trained.parent}"), "CPU")
    arrays, _ = read_checkpoint(trained)
    np.testing.assert_array_equal(run.step_cell.model_with_loss.model.fc.weight.asnumpy(), arrays["model.fc.weight"])
    assert run.step_cell.model_with_loss.loss.weight.shape == (9, 6)
    assert "new classifier" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--CLASS_NUM=7205"], "CLASS_NUM: the configuration says 7205.*6 speakers"),
        (
            ["--inChannels=80"],
            "inChannels: the model takes frames of 80, .* of 8: set inChannels: 8, or take .*front_end.n_mels: 80",
        ),
        (["--minibatch_size=100"], "24 records, fewer than a batch of 100"),
        (["--train_data_path=nowhere"], "nowhere: not a complete training store"),
        (["--pre_trained", "--checkpoint_path=nowhere.ckpt"], "nowhere.ckpt: no such checkpoint"),
    ],
)
def test_settings_that_do_not_fit_the_data_are_refused(store, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        set_up(settings(store, tmp_path, *options), "CPU")


def test_a_size_of_frames_that_no_key_sets_needs_another_model_or_front_end(tmp_path):
    folder = write_store(tmp_path / "store", front_end=Spectrogram(n_fft=2 * NUM_MELS - 2, win_length_ms=0.5))
    with pytest.raises(InputError, match="of 8: set inChannels: 8, or take features of another front end"):
        set_up(settings(folder, tmp_path, "--inChannels=80"), "CPU")


def test_pre_trained_model_of_another_size_is_refused(trained, store, tmp_path):
    with pytest.raises(InputError, match="channels 8.*; the command line says --channels=16"):
        set_up(settings(store, tmp_path, "--pre_trained", f"--checkpoint_path={trained}", "--channels=16"), "CPU")


def test_fine_tuning_takes_the_sizes_of_the_checkpoint_whatever_the_file_says(trained, store, tmp_path):
    config = settings(store, tmp_path, "--pre_trained", f"--checkpoint_path={trained}")
    given = {"channels": "1024", "in_channels": "80", "emb_size": "192"}
    model = Choice(MODELS, "ecapa_tdnn", {key: Given("a.yaml", key, value) for key, value in given.items()})
    in_file = dataclasses.replace(config, model=model)
    run = set_up(in_file, "CPU")
    assert run.meta["model"] == read_checkpoint(find_checkpoint(trained))[1]["model"]
    assert run.config.model.to_dict() == run.meta["model"]
    assert run.meta["run"]["settings"]["model"]["channels"] == 8  # so that the run can be resumed with the same file


def test_what_cannot_be_run_here_is_one_clear_line(store, tmp_path):
    with pytest.raises(UsageError, match="run_distribute: several devices need several processes"):
        train(settings(store, tmp_path, "--run_distribute=true"))
    with pytest.raises(InputError, match="device_target Ascend: the installed MindSpore .* supports only CPU"):
        train(settings(store, tmp_path, "--device_target=Ascend"))
    with pytest.raises(UsageError, match="not set: train_data_path"):
        train(settings(store, tmp_path, "--train_data_path="))


def test_schedule_that_cannot_move_is_said_before_the_first_step(store, tmp_path, capsys):
    describe_run(set_up(settings(store, tmp_path, "--step_size=65000"), "CPU"), "CPU")
    said = " ".join(capsys.readouterr().out.split())
    assert "warning: schedule cyclic: the learning rate rises for 65000 updates and the run has 12: it" in said
    describe_run(set_up(settings(store, tmp_path), "CPU"), "CPU")
    assert "warning" not in capsys.readouterr().out


def test_objective_may_have_a_parameter_that_is_called_as_one_of_the_model(store, tmp_path):
    """As RawNet2's last layer and softmax's."""
    run = set_up(settings(store, tmp_path, "--loss.name=softmax", "--loss.norm_first=true"), "CPU")
    state = run.step_cell.state()
    assert state["model.norm.gamma"] is not state["loss.norm.gamma"]
    assert {"opt.moment1.norm.gamma", "opt.moment1.loss.norm.gamma", "loss.linear.weight"} <= state.keys()


# What each training key of the seed's parameter block changes; the keys of evaluation are tested with eval.py.
EFFECTS = {
    "channels": ("16", lambda run: run.step_cell.model_with_loss.model.fc.weight.shape[1] == 16),
    "emb_size": ("12", lambda run: run.step_cell.model_with_loss.model.fc.weight.shape[0] == 12),
    "base_lrate": ("0.002", lambda run: run.schedule.lrate(0, 0.0) == pytest.approx(0.002)),
    "max_lrate": ("0.5", lambda run: run.schedule.lrate(6, 0.0) == pytest.approx(0.5)),
    "step_size": ("3", lambda run: run.schedule.lrate(3, 0.0) == pytest.approx(0.01)),
    "momentum": ("0.7", lambda run: float(run.step_cell.optimizer.beta1.asnumpy()) == pytest.approx(0.7)),
    "weightDecay": ("0.25", lambda run: float(run.step_cell.optimizer.weight_decay) == 0.25),
    "minibatch_size": ("4", lambda run: next(next(run.batches.epochs())).feats.shape == (4, 20, NUM_MELS)),
    "train_frames": ("33", lambda run: next(next(run.batches.epochs())).feats.shape == (8, 33, NUM_MELS)),
    "margin": ("0.4", lambda run: float(run.step_cell.model_with_loss.loss.margin) == pytest.approx(0.4)),
    "scale": ("16", lambda run: run.step_cell.model_with_loss.loss.scale == 16),
    "clip_grad_norm": ("0.5", lambda run: run.step_cell.clip_grad_norm == 0.5),
    "global_context": ("false", lambda run: not run.config.model.options.global_context),
}


@pytest.mark.parametrize("key", EFFECTS)
def test_key_takes_effect(store, tmp_path, key):
    value, holds = EFFECTS[key]
    assert not holds(set_up(settings(store, tmp_path), "CPU"))
    assert holds(set_up(settings(store, tmp_path, f"--{key}={value}"), "CPU"))


def all_batches(store, num_workers, seed=3, num_epochs=2):
    batches = TrainBatches(store, 5, 20, seed, num_workers)
    epochs = batches.epochs()
    return [list(next(epochs)) for _ in range(num_epochs)]


def test_batches_are_the_same_for_any_number_of_workers(store):
    for one, two in zip(sum(all_batches(store, 1), []), sum(all_batches(store, 2), []), strict=True):
        assert one.utt_ids == two.utt_ids
        np.testing.assert_array_equal(one.feats, two.feats)


def test_every_epoch_has_another_order_and_other_crops(store):
    first, second = all_batches(store, 1)
    assert [batch.utt_ids for batch in first] != [batch.utt_ids for batch in second]
    crops = [
        {name: crop for batch in epoch for name, crop in zip(batch.utt_ids, batch.feats, strict=True)}
        for epoch in (first, second)
    ]
    long = [name for name in crops[0].keys() & crops[1].keys() if name.endswith("3.wav")]  # 45 frames: 26 places
    assert any(not np.array_equal(crops[0][name], crops[1][name]) for name in long)


def test_an_epoch_holds_no_record_twice(store):
    for epoch in all_batches(store, 1):
        names = sum((batch.utt_ids for batch in epoch), [])
        assert len(names) == len(set(names)) == 20


def test_another_seed_gives_another_order(store):
    assert all_batches(store, 1, seed=3)[0][0].utt_ids != all_batches(store, 1, seed=4)[0][0].utt_ids


def test_labels_belong_to_their_utterances(store):
    for batch in all_batches(store, 1)[0]:
        assert [int(name[2:4]) for name in batch.utt_ids] == batch.label.tolist()


def test_crop_is_a_stretch():
    feats = np.arange(30, dtype=np.float32)[:, None] * np.ones((1, 2), np.float32)
    starts = set()
    for seed in range(200):
        crop = random_crop(feats, 10, np.random.default_rng(seed))
        np.testing.assert_array_equal(crop[:, 0], np.arange(10) + crop[0, 0])
        starts.add(int(crop[0, 0]))
    assert starts == set(range(21))  # every place occurs, the last included


def test_short_record_is_repeated_from_its_start():
    feats = np.arange(4, dtype=np.float32)[:, None]
    crop = random_crop(feats, 10, np.random.default_rng(0))
    np.testing.assert_allclose(crop[:, 0], np.array([0, 1, 2, 3, 0, 1, 2, 3, 0, 1]))
