"""A disk without room for a checkpoint: for real on a small file system where one can be mounted, else by a limit."""

import contextlib
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from mindvox.config import Config, load_config
from mindvox.errors import InputError
from mindvox.models.checkpoint import list_checkpoints, read_checkpoint
from mindvox.training.checkpoints import CheckpointWriter
from mindvox.training.position import Position
from mindvox.training.tensorboard import EventFile

META = {"model": {"name": "ecapa_tdnn"}, "front_end": {}, "speakers_sha256": ""}
CHECKPOINT_BYTES = 400_000


class Step:
    """What a CheckpointWriter needs of a step."""

    def state(self) -> dict[str, ms.Parameter]:
        weight = np.zeros(CHECKPOINT_BYTES // 4, np.float32)
        return {"model.weight": ms.Parameter(ms.Tensor(weight), name="weight")}


@contextlib.contextmanager
def limited_files(num_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: writing fails as it does on a full disk, with another number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system with room for one checkpoint and a half."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size={CHECKPOINT_BYTES * 3 // 2 // 4096 * 4096}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def writer(folder: Path, *more: str) -> CheckpointWriter:
    return CheckpointWriter(
        load_config(Config, [f"--ckpt_save_dir={folder}", "--save_checkpoint_steps=1", *more]), Step(), META
    )


def test_full_disk_stops_the_run_and_leaves_the_last_good_checkpoint(small_disk):
    session = writer(small_disk)
    session.after_step(Position(step=1, record=1))
    said = "-1_2.ckpt: no room for this checkpoint.*No space left on device.*the last one is .*-1_1.ckpt.*--resume=auto"
    with pytest.raises(InputError, match=said):
        session.after_step(Position(step=2, record=1))
    assert [path.name for path in small_disk.iterdir()] == ["train_ecapa_vox12-1_1.ckpt"]
    assert read_checkpoint(small_disk / "train_ecapa_vox12-1_1.ckpt")[1]["step"] == 1


def test_full_disk_costs_event_files_and_not_the_run(small_disk, capsys):
    events = EventFile(small_disk / "tensorboard", 1)
    (small_disk / "filling").write_bytes(bytes(CHECKPOINT_BYTES))
    with contextlib.suppress(OSError), open(small_disk / "filling", "ab") as stream:
        while True:
            stream.write(bytes(4096))
            stream.flush()
    for step in range(500):
        events.add(step, {"loss": 1.0})
    events.close()
    assert capsys.readouterr().err.count("warning: no event files for TensorBoard from here on") == 1


def test_run_goes_on_without_a_checkpoint_when_it_is_told_to(tmp_path, capsys):
    session = writer(tmp_path, "--on_full_disk=continue", "--keep_checkpoint_max=1")
    session.after_step(Position(step=1, record=1))
    with limited_files(CHECKPOINT_BYTES // 2):
        session.after_step(Position(step=2, record=1))
        session.after_validation(Position(step=2, record=1, best_eer=0.1, best_step=2))
        assert [path.name for path in tmp_path.iterdir()] == ["train_ecapa_vox12-1_1.ckpt"]
        said = capsys.readouterr().err
        assert said.count("warning: ") == said.count("Training continues (on_full_disk: continue)") == 2
        with pytest.raises(InputError, match="no room for this checkpoint"):
            session.finish(Position(step=3, record=1))
    session.after_step(Position(step=4, record=1))
    assert list(list_checkpoints(tmp_path)) == [4]


def test_first_checkpoint_that_does_not_fit_says_that_there_is_none(tmp_path):
    with limited_files(CHECKPOINT_BYTES // 2), pytest.raises(InputError, match="there is none yet"):
        writer(tmp_path).after_step(Position(step=1, record=1))
    assert not list(tmp_path.iterdir())
