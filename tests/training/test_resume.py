"""A run that was stopped and goes on: the same weights, bit for bit, and what is refused."""

import fcntl
import shutil
import signal
import struct
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event, SessionLog

from mindvox.config import Config, fixed_keys, load_config
from mindvox.config.option import spellings
from mindvox.config.sections import TRAINING
from mindvox.errors import InputError, Stopped
from mindvox.models.checkpoint import list_checkpoints, read_checkpoint
from mindvox.training.checkpoints import CheckpointWriter
from mindvox.training.interruption import SIGNALS
from mindvox.training.loop import set_up, train
from mindvox.training.position import Position
from mindvox.training.resume import Checkpoint, check_same_run, find_earlier
from mindvox.training.world import World
from tests.training.runs import EERS, FakeValidation, settings, write_store

pytestmark = pytest.mark.usefixtures("small_model")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return write_store(tmp_path_factory.mktemp("resume") / "feat_train")


def options(store: Path, folder: Path, *more: str) -> Config:
    """12 steps in 4 epochs, a checkpoint after each, a validation after every second."""
    every = ("--save_checkpoint_steps=1", "--valid_utterances=2", "--valid_steps=2", "--valid_epochs=0")
    return settings(store, folder, "--minibatch_size=7", "--log_steps=3", *every, *more)


@pytest.fixture(scope="module")
def unbroken(store, small_model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    return train(options(store, folder), lambda *_: FakeValidation(0))


def copy_until(step: int, source: Path, folder: Path) -> Path:
    """Copy a run's folder as it was after a step."""
    target = folder / "ckpt"
    shutil.copytree(source.parent, target, ignore=shutil.ignore_patterns("tensorboard"))
    for later, path in list_checkpoints(target).items():
        if later > step:
            path.unlink()
    return target


def read_events(folder: Path) -> list[Event]:
    """Read the event files of a folder in their order; their format is TensorFlow's record file."""
    events = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            crc = crc32c(content[12 : 12 + length])
            masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
            assert struct.unpack("<I", content[12 + length : 16 + length]) == (masked,)
            events.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return events


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """A stop that was asked for leaves its signal handlers in place, for echoes."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_handlers")
def test_stopped_run_goes_on_bit_for_bit_in_spite_of_a_damaged_checkpoint(unbroken, store, tmp_path, capsys):
    said = r"stopped as requested after step 5; checkpoint: .*-2_5.ckpt. To continue: --resume=auto"
    with pytest.raises(Stopped, match=said) as stop:
        train(options(store, tmp_path), lambda *_: FakeValidation(0, stop_at=4))
    assert stop.value.exit_code == 143
    assert "stopping after this step; a second signal ends at once, without a checkpoint" in capsys.readouterr().err
    folder = tmp_path / "ckpt"
    assert list(list_checkpoints(folder)) == [1, 2, 3, 4, 5]
    damaged = list_checkpoints(folder)[5]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    (folder / ".train_ecapa_vox12-2_5.abc.tmp").touch()

    path = train(options(store, tmp_path, "--resume=auto", "--num_workers=2"), lambda *_: FakeValidation(4))
    said = capsys.readouterr()
    assert "train_ecapa_vox12-2_5.ckpt: not a whole MindSpore checkpoint" in said.err
    assert f"resume: from {folder}/train_ecapa_vox12-2_4.ckpt, after 4 steps" in said.out
    assert "step 8: valid eer:0.1000, best so far" in said.out and "step 10: valid eer:0.4000, best:0.1000" in said.out
    assert not list(folder.glob(".train*")) and (folder / "train_ecapa_vox12-2_5.ckpt.damaged").exists()

    for ours, expected in ((path, unbroken), (folder / "best.ckpt", unbroken.with_name("best.ckpt"))):
        (arrays, meta), (right, right_meta) = read_checkpoint(ours), read_checkpoint(expected)
        assert arrays.keys() == right.keys() and "opt.moment1.fc.weight" in arrays
        for name, value in right.items():
            np.testing.assert_array_equal(arrays[name], value, err_msg=name)
        times = [each["position"].pop("elapsed_s") for each in (meta, right_meta)]
        assert min(times) > 0 and meta == right_meta
    assert (meta["step"], meta["position"]["best_eer"]) == (8, 0.1)

    events = read_events(folder / "tensorboard")
    starts = [event.step for event in events if event.session_log.status == SessionLog.START]
    assert starts == [1, 5]
    numbers = {(event.step, value.tag): value.simple_value for event in events for value in event.summary.value}
    assert {step for step, tag in numbers if tag == "valid eer"} == set(EERS)
    assert numbers[8, "valid eer"] == pytest.approx(0.1)
    tags = {tag for step, tag in numbers if step == 12}
    measured = {"valid eer", "valid threshold", "valid mindcf"}
    assert tags == {"loss", "accuracy", "learning rate", "margin", "utterances per second", *measured}
    assert numbers[8, "valid threshold"] == pytest.approx(0.3) and numbers[8, "valid mindcf"] == pytest.approx(0.5)
    assert numbers[12, "margin"] == pytest.approx(0.2)


def test_finished_run_has_nothing_to_do(unbroken, store, capsys):
    before = unbroken.stat().st_mtime_ns
    assert train(options(store, unbroken.parent.parent, "--resume=auto")) == unbroken
    assert "this run is finished, after 12 steps" in capsys.readouterr().out
    assert unbroken.stat().st_mtime_ns == before


def test_without_checkpoints_auto_begins_anew_and_says_so(store, tmp_path, capsys):
    assert find_earlier(options(store, tmp_path, "--resume=auto")) is None
    assert "has no checkpoint to resume from: a new run" in capsys.readouterr().out
    with pytest.raises(InputError, match="no whole checkpoint"):
        find_earlier(options(store, tmp_path, f"--resume={tmp_path}"))
    with pytest.raises(InputError, match="nowhere.ckpt: no such checkpoint"):
        find_earlier(options(store, tmp_path, "--resume=nowhere.ckpt"))


def test_checkpoint_can_be_taken_from_another_folder_but_two_runs_are_not_mixed(unbroken, store, tmp_path):
    path = list_checkpoints(unbroken.parent)[5]
    assert find_earlier(options(store, tmp_path, f"--resume={path}")).path == path
    assert find_earlier(options(store, tmp_path, f"--resume={path.parent}")).path == unbroken
    with pytest.raises(InputError, match="newer than train_ecapa_vox12-2_5.ckpt: .*-2_6.ckpt.*-4_12.ckpt"):
        find_earlier(options(store, unbroken.parent.parent, f"--resume={path}"))
    copy_until(2, unbroken, tmp_path)
    with pytest.raises(InputError, match="holds checkpoints of an earlier run.*--resume=auto"):
        find_earlier(options(store, tmp_path, f"--resume={path}"))


def test_same_record_comes_next_on_another_number_of_devices(unbroken, store, tmp_path):
    path = list_checkpoints(unbroken.parent)[5]
    found = Checkpoint(path, *read_checkpoint(path))
    assert (found.meta["position"]["epoch"], found.meta["position"]["record"]) == (1, 14)
    run = set_up(options(store, tmp_path), "CPU", World(0, 3), found)
    assert run.start == Position(5, 2, 0, 2, run.start.elapsed_s, 0.2, 4)  # 8 of 22 records are left, a batch takes 21
    run = set_up(options(store, tmp_path, "--minibatch_size=7"), "CPU", World(0, 1), found)
    assert (run.start.step, run.start.epoch, run.start.record, run.start.update) == (5, 1, 14, 5)
    arrays = {name: value.asnumpy() for name, value in run.step_cell.state().items()}
    for name, value in found.arrays.items():
        np.testing.assert_array_equal(arrays[name], value, err_msg=name)


def test_another_run_is_refused_with_what_differs(unbroken, store, tmp_path):
    path = list_checkpoints(unbroken.parent)[5]
    found = Checkpoint(path, *read_checkpoint(path))
    changed = ("--seed=3", "--scale=20", "--num_epochs=9", "--log_steps=7")
    with pytest.raises(
        InputError, match="another run. loss.scale: was 30.0, is 20.0; seed: was 0, is 3. Restore these values"
    ):
        set_up(options(store, tmp_path, *changed), "CPU", earlier=found)
    other = write_store(tmp_path / "other", num_speakers=9)
    with pytest.raises(InputError, match="train_data_path: was a store with other content"):
        set_up(options(other, tmp_path), "CPU", earlier=found)
    with pytest.raises(InputError, match="cannot be resumed: it holds weights only"):
        set_up(options(store, tmp_path), "CPU", earlier=Checkpoint(path, found.arrays, {}))


def test_batch_size_may_change_when_devices_make_up_for_it():
    before = {"settings": {"minibatch_size": 16}, "store_sha256": "a", "global_batch": 32}
    check_same_run(before, {"settings": {"minibatch_size": 32}, "store_sha256": "a", "global_batch": 32}, "x")
    check_same_run(before, {"settings": {"minibatch_size": 16}, "store_sha256": "a", "global_batch": 16}, "x")
    with pytest.raises(InputError, match="minibatch_size: was 16, is 32"):
        check_same_run(before, {"settings": {"minibatch_size": 32}, "store_sha256": "a", "global_batch": 64}, "x")


# How long, where, how often something is written, on what it runs.
FREE_KEYS = (
    *("num_epochs", "max_train_minutes", "CLASS_NUM"),
    *("train_data_path", "noise_folder", "rir_folder", "ckpt_save_dir", "resume"),
    *("pre_trained", "checkpoint_path", "imprint_utterances"),
    *("keep_checkpoint_max", "save_checkpoint_epochs", "save_checkpoint_steps", "save_checkpoint_minutes"),
    *("on_full_disk", "log_steps", "tensorboard", "valid_trials", "valid_data_path", "valid_steps", "valid_epochs"),
    *("num_workers", "device_target", "device_id", "run_distribute"),
)


def test_runs_of_the_first_version_are_known_again():
    now = {"settings": fixed_keys(load_config(Config, ["--channels=8"])), "store_sha256": "a", "global_batch": 4}
    flat = {key: value for key, value in now["settings"].items() if not isinstance(value, dict)}
    model, loss = dict(now["settings"]["model"]), dict(now["settings"]["loss"])
    schedule = {"schedule": "cyclic", "base_lrate": 1e-6, "max_lrate": 1e-4, "step_size": 65000, "cycle_peak": 0.5}
    first = {"model": model.pop("name"), "inChannels": model.pop("in_channels"), **model, **loss, **flat, **schedule}
    del first["name"], first["amsgrad"]
    check_same_run({**now, "settings": first}, now, "x")
    before_schedules_had_a_section = {**now["settings"], **schedule, "warmup_epochs": 0.0}
    check_same_run({**now, "settings": before_schedules_had_a_section}, now, "x")
    with pytest.raises(InputError, match="schedule.step_size: was 9, is 65000"):
        check_same_run({**now, "settings": {**before_schedules_had_a_section, "step_size": 9}}, now, "x")
    with pytest.raises(InputError, match="loss.margin: was 0.3, is 0.2"):
        check_same_run({**now, "settings": {**first, "margin": 0.3}}, now, "x")
    with pytest.raises(InputError, match="model.channels: was 16, is 8; seed: was 7, is 0"):
        check_same_run({**now, "settings": {**first, "channels": 16, "seed": 7}}, now, "x")


def test_a_key_that_was_renamed_is_the_same_run():
    settings = fixed_keys(load_config(Config, ["--feature_backend=speechbrain"]))
    now = {"settings": settings, "store_sha256": "a", "global_batch": 4}
    earlier = {("frontend" if key == "feature_backend" else key): value for key, value in settings.items()}
    check_same_run({**now, "settings": earlier}, now, "x")
    with pytest.raises(InputError, match="feature_backend: was builtin, is speechbrain"):
        check_same_run({**now, "settings": {**earlier, "frontend": "builtin"}}, now, "x")


def test_every_key_of_training_is_either_fixed_or_free():
    training = {spellings(field)[0]: field for owner in TRAINING for field in fields(owner)}
    fixed = {name for name, field in training.items() if field.metadata["fixed"]}
    assert training.keys() - fixed == set(FREE_KEYS)
    assert fixed == set(fixed_keys(load_config(Config, [])))


def test_two_runs_do_not_share_a_folder(store, tmp_path):
    config = options(store, tmp_path)
    lock = Path(config.ckpt_save_dir, ".lock")
    lock.parent.mkdir(parents=True)
    with open(lock, "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # as another process would
        with pytest.raises(InputError, match="another process writes here: wait for it, or end it"):
            train(config)
    assert list_checkpoints(config.ckpt_save_dir) == {}


class Step:
    """What a CheckpointWriter needs of a step."""

    def state(self) -> dict:
        import mindspore as ms

        return {"model.weight": ms.Parameter(ms.Tensor(np.zeros(1000), ms.float32), name="weight")}


META = {"model": {"name": "ecapa_tdnn"}, "front_end": {}, "speakers_sha256": ""}


def writer(folder: Path, *more: str) -> CheckpointWriter:
    (folder / "ckpt").mkdir(exist_ok=True)
    config = load_config(Config, [f"--ckpt_save_dir={folder / 'ckpt'}", "--save_checkpoint_steps=1", *more])
    return CheckpointWriter(config, Step(), META)


def test_newest_and_best_are_kept_over_sessions(tmp_path):
    for first in (1, 4):
        session = writer(tmp_path, "--keep_checkpoint_max=2")
        for step in range(first, first + 3):
            position = Position(step=step, record=step, best_eer=0.1, best_step=2)
            session.after_validation(position)
            session.after_step(position)
    assert sorted(path.name for path in (tmp_path / "ckpt").iterdir()) == [
        "best.ckpt",
        "train_ecapa_vox12-1_5.ckpt",
        "train_ecapa_vox12-1_6.ckpt",
    ]
    assert read_checkpoint(tmp_path / "ckpt" / "best.ckpt")[1]["step"] == 2


def test_checkpoint_that_is_due_waits_until_it_would_be_complete(tmp_path):
    session = writer(tmp_path, "--save_checkpoint_steps=2")
    for step, can_write in ((1, True), (2, False), (3, True), (4, True)):
        session.after_step(Position(step=step, record=1), can_write)
    assert list(list_checkpoints(tmp_path / "ckpt")) == [3, 4]


def test_best_checkpoint_is_taken_when_it_is_the_only_one(unbroken, store, tmp_path, capsys):
    folder = copy_until(0, unbroken, tmp_path)
    found = find_earlier(options(store, tmp_path, "--resume=auto"))
    assert found.path == folder / "best.ckpt" and found.meta["step"] == 8
    found.path.write_bytes(b"torn")
    assert find_earlier(options(store, tmp_path, "--resume=auto"), is_first=False) is None
    assert (folder / "best.ckpt").exists()
    assert find_earlier(options(store, tmp_path, "--resume=auto")) is None
    assert (folder / "best.ckpt.damaged").exists()
    assert "best.ckpt: not a whole MindSpore checkpoint" in capsys.readouterr().err
