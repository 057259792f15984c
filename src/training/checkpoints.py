"""The checkpoints of a run: names, contents, which are kept."""

import time
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import Parameter

from src.config import Config
from src.errors import InputError
from src.files import PathLike
from src.models.checkpoint import CHECKPOINT_NAME, checkpoint_path, write_checkpoint
from src.training.step import ScaledTrainStep, TrainStep


def refuse_earlier_run(folder: PathLike) -> None:
    """Raise InputError when a folder holds checkpoints."""
    folder = Path(folder)
    if folder.is_dir() and any(CHECKPOINT_NAME.fullmatch(path.name) for path in folder.iterdir()):
        raise InputError(
            f"{folder}: holds checkpoints of an earlier run, which this one would mix with its own: "
            "set another ckpt_save_dir or move them away."
        )


class CheckpointWriter:
    """Writes the checkpoints of one run into a folder and keeps the newest.

    Args:
        config: gives the folder, the intervals and how many to keep.
        step_cell: holds model, loss and optimiser.
        meta: what every checkpoint says beside its epoch and step.
    """

    def __init__(self, config: Config, step_cell: TrainStep, meta: dict[str, Any]) -> None:
        self.folder = Path(config.ckpt_save_dir)
        self.keep = config.keep_checkpoint_max
        self.every_epochs = config.save_checkpoint_epochs
        self.every_steps = config.save_checkpoint_steps
        self.every_s = config.save_checkpoint_minutes * 60
        self.meta = meta
        self.state = state_of(step_cell)
        self.written: list[Path] = []
        self.last_time = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)

    def after_step(self, epoch: int, step: int, epoch_ends: bool) -> None:
        """Write a checkpoint when one is due after `step` steps in all, in `epoch` (both counted from 1)."""
        due = self.every_steps > 0 and step % self.every_steps == 0
        due |= epoch_ends and self.every_epochs > 0 and epoch % self.every_epochs == 0
        due |= self.every_s > 0 and time.monotonic() - self.last_time >= self.every_s
        if due:
            self.write(epoch, step)

    def write(self, epoch: int, step: int) -> Path:
        """Write the checkpoint of this moment, and delete this run's oldest beyond `keep`."""
        path = checkpoint_path(self.folder, epoch, step)
        write_checkpoint(path, self.state, {**self.meta, "epoch": epoch, "step": step})
        self.written.append(path)
        self.last_time = time.monotonic()
        for old in self.written[: -self.keep]:
            old.unlink(missing_ok=True)
        self.written = self.written[-self.keep :]
        return path


def state_of(step_cell: TrainStep) -> dict[str, Parameter]:
    """Return all that a checkpoint holds, by its name there: model.*, loss.*, opt.*; scale.* of a dynamic scale."""
    parts = {"model": step_cell.model_with_loss.model, "loss": step_cell.model_with_loss.loss}
    state = {
        f"{part}.{parameter.name}": parameter for part, cell in parts.items() for parameter in cell.get_parameters()
    }
    weights = {id(parameter) for parameter in state.values()}
    for parameter in step_cell.optimizer.get_parameters():
        if id(parameter) not in weights:
            state[f"opt.{parameter.name}"] = parameter
    if isinstance(step_cell, ScaledTrainStep) and isinstance(step_cell.loss_scaler, ms.amp.DynamicLossScaler):
        state |= {f"scale.{name}": getattr(step_cell.loss_scaler, name) for name in ("scale_value", "counter")}
    return state
