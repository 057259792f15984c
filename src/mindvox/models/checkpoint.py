"""Checkpoints: weights and other state under exact names, and a JSON text that describes them."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from mindvox.errors import InputError
from mindvox.files import PathLike, atomic_path
from mindvox.home import CHECKPOINT, find_model
from mindvox.registry import MODELS

CHECKPOINT_NAME = re.compile(r"train_\w+-(\d+)_(\d+)\.ckpt")
NAME_FORM = "train_<model>-<epoch>_<step>.ckpt"
META_KEYS = ("model", "front_end", "speakers_sha256", "epoch", "step")


def checkpoint_path(folder: PathLike, model: str, epoch: int, step: int) -> Path:
    """Return the path of a model's checkpoint after `step` steps of the whole run, in `epoch` (counted from 1)."""
    prefix = getattr(MODELS.get(model), "checkpoint_prefix", f"train_{model}")
    return Path(folder) / f"{prefix}-{epoch}_{step}.ckpt"


def list_checkpoints(folder: PathLike) -> dict[int, Path]:
    """Return the checkpoints of a folder except best.ckpt, by number of steps, ascending."""
    folder = Path(folder)
    files = folder.iterdir() if folder.is_dir() else ()
    found = [(int(match[2]), file) for file in files if (match := CHECKPOINT_NAME.fullmatch(file.name))]
    return dict(sorted(found))


def find_checkpoint(path: PathLike) -> Path:
    """Return the checkpoint of a path: the file itself, a folder's with the most steps, or a public model's."""
    path = find_model(path, CHECKPOINT)
    if not path.is_dir():
        return path
    found = list_checkpoints(path)
    if not found:
        others = sorted(file.name for file in path.glob("*.ckpt"))
        instead = f" It holds {', '.join(others[:3])}: give the path of the one you mean." if others else ""
        raise InputError(f"{path}: no checkpoint {NAME_FORM} in this folder.{instead}")
    return found[max(found)]


def write_checkpoint(path: PathLike, parameters: dict[str, Parameter], meta: dict[str, Any]) -> None:
    """Write parameters by name and the meta to a temporary file, then rename; MindSpore deletes the old file first."""
    entries = [{"name": name, "data": parameter} for name, parameter in parameters.items()]
    with atomic_path(path) as temporary:
        try:
            ms.save_checkpoint(entries, str(temporary), append_dict={"meta": json.dumps(meta)}, crc_check=True)
        finally:
            temporary.with_suffix(".tmp").unlink(missing_ok=True)  # MindSpore leaves this file behind when it fails
        os.chmod(temporary, 0o600)  # MindSpore makes its files read-only


def read_checkpoint(path: PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a checkpoint of this project.

    Returns:
        Arrays by name ("model.*", "loss.*", "opt.*"), and the meta.

    Raises:
        InputError: the file does not exist, is damaged (its checksum is verified), or is not of this project.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such checkpoint.")
    try:
        content = ms.load_checkpoint(str(path), crc_check=True)
    except (ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"{path}: not a whole MindSpore checkpoint ({str(error).splitlines()[0]}).") from None
    try:
        meta = json.loads(content.pop("meta"))
    except (KeyError, TypeError, json.JSONDecodeError):
        raise InputError(
            f"{path}: a MindSpore checkpoint, but not of this project: its meta is missing. One of the model zoo's or "
            "mindaudio's ECAPA-TDNN is imported by `mindvox import --from modelzoo` or `--from mindaudio`."
        ) from None
    missing = [key for key in META_KEYS if key not in meta]
    if missing:
        raise InputError(f"{path}: the checkpoint's meta lacks {', '.join(missing)}.")
    return {name: _with_height(parameter.asnumpy()) for name, parameter in content.items()}, meta


def _with_height(array: np.ndarray) -> np.ndarray:
    """Return a convolution's weight as (out, in, 1, k); older checkpoints store (out, in, k)."""
    return array[:, :, None] if array.ndim == 3 else array


def assign(cell: nn.Cell, arrays: Mapping[str, np.ndarray], prefix: str, source: PathLike) -> None:
    """Set every parameter of `cell` from the array named `prefix` + its name; see `assign_parameters`."""
    wanted = {prefix + parameter.name: parameter for parameter in cell.get_parameters()}
    assign_parameters(wanted, {name: array for name, array in arrays.items() if name.startswith(prefix)}, source)


def assign_parameters(wanted: dict[str, Parameter], arrays: dict[str, np.ndarray], source: PathLike) -> None:
    """Set every parameter from the array of the same name.

    Not `ms.load_param_into_net`: it guesses prefixes and fills weights from optimizer moments (2.10).

    Raises:
        InputError: names or shapes differ; no parameter has been changed.
    """
    wrong = [f"{name} is missing" for name in sorted(set(wanted) - set(arrays))]
    wrong += [f"{name} is not in the model" for name in sorted(set(arrays) - set(wanted))]
    for name in sorted(set(arrays) & set(wanted)):
        if arrays[name].shape != wanted[name].shape:
            wrong.append(f"{name} is {arrays[name].shape}, expected {wanted[name].shape}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise InputError(f"{source}: the weights do not fit the model: {'; '.join(wrong[:3])}{more}.")
    for name, parameter in wanted.items():
        parameter.set_data(Tensor(arrays[name], parameter.dtype))
