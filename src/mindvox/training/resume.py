"""Resume an earlier run: find the checkpoint, check that it is the same run, and restore its state."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindvox.config import Config, as_today, fixed_keys
from mindvox.data.pipeline import TrainBatches
from mindvox.errors import InputError
from mindvox.files import PathLike
from mindvox.losses import without_scheduled
from mindvox.models.checkpoint import NAME_FORM, assign_parameters, list_checkpoints, read_checkpoint
from mindvox.training.checkpoints import BEST, refuse_earlier_run
from mindvox.training.position import Position
from mindvox.training.step import TrainStep


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint from which a run resumes: its file, its arrays by name, its meta."""

    path: Path
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]


def identity(config: Config, batches: TrainBatches) -> dict[str, Any]:
    """Return everything that must stay the same in a run, and its batch size, as JSON values."""
    return {
        "settings": fixed_keys(config),
        "store_sha256": batches.manifest.sha256,
        "global_batch": batches.global_size,
        "num_batches": batches.num_batches(),
    }


def find_earlier(config: Config, is_first: bool = True) -> Optional[Checkpoint]:
    """Return the checkpoint that `resume` selects; None: start a new run.

    Args:
        config: the settings.
        is_first: whether this rank writes; only that one renames damaged checkpoints.

    Raises:
        InputError: `resume` selects no complete checkpoint of a run; or ckpt_save_dir holds checkpoints that would be
            mixed with the run's own.
    """
    folder = Path(config.ckpt_save_dir)
    found = None
    if config.resume == "auto":
        found = _newest_whole(folder, may_rename=is_first)
        if found is None:
            print(f"resume: {folder} has no checkpoint to resume from: a new run")
    elif config.resume != "no":
        path = Path(config.resume)
        may_rename = is_first and path.resolve() == folder.resolve()
        found = _newest_whole(path, may_rename) if path.is_dir() else Checkpoint(path, *read_checkpoint(path))
        if found is None:
            raise InputError(f"resume: {path} has no whole checkpoint {NAME_FORM}.")
    if is_first:  # other ranks may look before or after damaged ones are renamed
        _refuse_mixture(folder, found)
    return found


def _newest_whole(folder: Path, may_rename: bool) -> Optional[Checkpoint]:
    """Return a folder's newest checkpoint, else the best; damaged ones are skipped with a warning."""
    best = folder / BEST  # may be the only one if a run was killed early
    for path in (*reversed(list_checkpoints(folder).values()), *([best] if best.exists() else [])):
        try:
            return Checkpoint(path, *read_checkpoint(path))
        except InputError as error:
            aside = path.with_name(f"{path.name}.damaged")
            renamed = f" It was renamed to {aside.name}." if may_rename else ""
            print(f"warning: {error} The previous one is used.{renamed}", file=sys.stderr)
            if may_rename:
                path.rename(aside)
    return None


def _refuse_mixture(folder: Path, found: Optional[Checkpoint]) -> None:
    """Raise InputError if a folder holds checkpoints that do not belong to the run's past."""
    if found is None or found.path.resolve().parent != folder.resolve():
        refuse_earlier_run(folder)
        return
    newer = [path.name for step, path in list_checkpoints(folder).items() if step > found.meta["step"]]
    if newer:
        raise InputError(
            f"resume: {folder} holds checkpoints that are newer than {found.path.name}: {', '.join(newer)}. Move them "
            "away, or set another ckpt_save_dir."
        )


def restore(checkpoint: Checkpoint, now: dict[str, Any], step_cell: TrainStep, batches: TrainBatches) -> Position:
    """Set a step's parameters from a checkpoint and return its position.

    If the size of a global batch has changed, as on other devices, the run continues at the same record, and the
    schedule at the same part of an epoch.

    Args:
        checkpoint: the checkpoint to resume from.
        now: `identity` of this run.
        step_cell: the step, not yet compiled.
        batches: batches of this run.

    Raises:
        InputError: the checkpoint belongs to another run, or to none.
    """
    if not {"position", "run"} <= checkpoint.meta.keys():
        raise InputError(
            f"{checkpoint.path}: its run cannot be resumed: it holds weights only. Start from them: --pre_trained "
            f"--checkpoint_path={checkpoint.path}"
        )
    before = checkpoint.meta["run"]
    check_same_run(before, now, checkpoint.path)
    arrays = without_scheduled(checkpoint.arrays, step_cell.model_with_loss.loss)
    assign_parameters(step_cell.state(), arrays, checkpoint.path)
    position = Position.from_dict(checkpoint.meta["position"])
    update = round(position.update * now["num_batches"] / before["num_batches"])
    return replace(position, update=update).at_batch(batches)


def check_same_run(before: dict[str, Any], now: dict[str, Any], path: PathLike) -> None:
    """Raise InputError if a checkpoint belongs to another run; the message gives the differing keys and values."""
    same_batch = before["global_batch"] == now["global_batch"]
    old, new = _flat(as_today(before["settings"])), _flat(now["settings"])
    wrong = [
        f"{key}: was {old.get(key)}, is {value}"
        for key, value in new.items()
        if _differs(old, key, value) and not (key == "minibatch_size" and same_batch)
    ]
    if before["store_sha256"] != now["store_sha256"]:
        wrong.append("train_data_path: was a store with other content")
    if wrong:
        raise InputError(
            f"{path}: belongs to another run. {'; '.join(wrong)}. Restore these values; or start a new run in another "
            "ckpt_save_dir, from these weights with pre_trained if you like."
        )


def _differs(old: dict[str, Any], key: str, value: Any) -> bool:
    """Return whether a key has changed; a key that its section did not have yet does not count."""
    return old.get(key) != value and not (key not in old and "." in key)


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of sections as `section.key`, together with the other keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= {f"{key}.{name}": part for name, part in value.items()} if isinstance(value, dict) else {key: value}
    return flat
