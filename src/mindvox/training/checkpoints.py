"""The checkpoints of a run: their names and contents, and which ones are kept."""

import errno
import sys
import time
from pathlib import Path
from typing import Any, Optional

from mindvox.config import Config
from mindvox.errors import InputError
from mindvox.files import PathLike
from mindvox.models.checkpoint import checkpoint_path, list_checkpoints, write_checkpoint
from mindvox.training.position import Position
from mindvox.training.step import TrainStep

BEST = "best.ckpt"
LEAST_S_BETWEEN_EPOCHS = 60.0  # if epochs last seconds, a checkpoint after each would only fill the disk
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LEFTOVERS = (".train_*-*.ckpt", ".train_*-*.tmp", ".best.*.ckpt", ".best.*.tmp")


def refuse_earlier_run(folder: PathLike) -> None:
    """Raise InputError if a folder holds checkpoints."""
    if list_checkpoints(folder) or Path(folder, BEST).exists():
        raise InputError(
            f"{folder}: holds checkpoints of an earlier run, which would be mixed with those of this one. To continue "
            "that run pass --resume=auto; for a new run set another ckpt_save_dir or move them away."
        )


class CheckpointWriter:
    """Writes the checkpoints of one run into a folder and keeps the newest and the best.

    Incomplete files of a session that was killed are removed.

    Args:
        config: gives the folder, the intervals, the number to keep, and the reaction to a full disk.
        step_cell: holds model, loss and optimiser.
        meta: meta of every checkpoint apart from its position.
    """

    def __init__(self, config: Config, step_cell: TrainStep, meta: dict[str, Any]) -> None:
        self.folder = Path(config.ckpt_save_dir)
        self.keep = config.keep_checkpoint_max
        self.every_epochs = config.save_checkpoint_epochs
        self.every_steps = config.save_checkpoint_steps
        self.every_s = config.save_checkpoint_minutes * 60
        self.goes_on_without_room = config.on_full_disk == "continue"
        self.meta = meta
        self.state = step_cell.state()
        self.last_time = time.monotonic()
        self.is_due = False
        for pattern in LEFTOVERS:
            for path in self.folder.glob(pattern):
                path.unlink()

    def after_step(self, position: Position, can_write: bool = True) -> None:
        """Write a checkpoint if one is due; those due only by epochs are at least a minute apart.

        Args:
            position: position of the run.
            can_write: whether a checkpoint would be complete now; a due one waits until it is.
        """
        step, epoch = position.step, position.epoch
        self.is_due |= self.every_steps > 0 and step % self.every_steps == 0
        since_last_s = time.monotonic() - self.last_time
        is_epoch = position.record == 0 and self.every_epochs > 0 and epoch % self.every_epochs == 0
        self.is_due |= is_epoch and since_last_s >= LEAST_S_BETWEEN_EPOCHS
        self.is_due |= self.every_s > 0 and since_last_s >= self.every_s
        if self.is_due and can_write:
            self._write_if_there_is_room(self._path(position), position)
            self.is_due, self.last_time = False, time.monotonic()
            self._remove_old()

    def after_validation(self, position: Position) -> None:
        """Keep the present checkpoint as the best if it is."""
        if position.best_step == position.step:
            self.write_as(self.folder / BEST, position)

    def write_as(self, path: Path, position: Position) -> None:
        """Write the present checkpoint under a name that does not count among the newest.

        Raises:
            InputError: the disk is full, unless `on_full_disk` is "continue".
        """
        self._write_if_there_is_room(path, position)

    def finish(self, position: Position) -> Path:
        """Write the checkpoint at the end of a session and return its path.

        Raises:
            InputError: the disk is full.
        """
        path = self._path(position)
        self._write(path, position)
        self._remove_old()
        return path

    def _path(self, position: Position) -> Path:
        return checkpoint_path(self.folder, self.meta["model"]["name"], position.running_epoch, position.step)

    def newest(self) -> Optional[Path]:
        """Return the checkpoint with the most steps; None: there is none."""
        return next(reversed(list_checkpoints(self.folder).values()), None)

    def _write_if_there_is_room(self, path: Path, position: Position) -> None:
        try:
            self._write(path, position)
        except InputError as error:
            if not self.goes_on_without_room:
                raise
            print(f"warning: {error} Training continues (on_full_disk: continue).", file=sys.stderr, flush=True)

    def _write(self, path: Path, position: Position) -> None:
        place = {"epoch": position.running_epoch, "step": position.step, "position": position.to_dict()}
        try:
            write_checkpoint(path, self.state, {**self.meta, **place})
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            newest = self.newest()
            kept = f"the last one is {newest}" if newest else "there is none yet"
            raise InputError(
                f"{path}: no room for this checkpoint on the disk ({error.strerror}); {kept}. Free some space, then "
                "continue with --resume=auto."
            ) from None

    def _remove_old(self) -> None:
        for path in list(list_checkpoints(self.folder).values())[: -self.keep]:
            path.unlink()
