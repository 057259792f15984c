"""Average a run's last checkpoints: mindvox average-checkpoints FOLDER [--last 10] --to FILE."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindvox.arguments import Parser
from mindvox.errors import InputError, UsageError, run
from mindvox.files import PathLike, lock_output, user_path
from mindvox.progress import quantity

SAME_KEYS = ("model", "loss", "front_end", "speakers_sha256", "sub_centers")  # sub_centers: in the first version


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Average checkpoints and print which ones."""
    parser = Parser(
        prog="mindvox average-checkpoints",
        description="Write the mean of the weights and batch norm statistics of a run's last checkpoints.",
    )
    parser.add_argument("folder", type=user_path, metavar="FOLDER", help="folder of the checkpoints: ckpt_save_dir")
    parser.add_argument("--last", type=int, default=10, metavar="N", help="number of checkpoints (default: 10)")
    parser.add_argument("--to", type=user_path, required=True, metavar="FILE", help="checkpoint to write, .ckpt")
    arguments = parser.parse_args(argv)
    with lock_output(arguments.to):
        paths = last_checkpoints(arguments.folder, arguments.last)
        average_checkpoints(paths, arguments.to)
    print(f"{arguments.to}: the mean of {quantity(len(paths), 'checkpoint')}, {paths[0].name} to {paths[-1].name}")
    return 0


def last_checkpoints(folder: PathLike, number: int) -> list[Path]:
    """Return the checkpoints with the most steps in a folder, in their order.

    Raises:
        UsageError: `number` is not positive.
        InputError: there are fewer than `number`.
    """
    from mindvox.models.checkpoint import list_checkpoints

    if number < 1:
        raise UsageError(f"--last: expected at least 1, got {number}.")
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder of checkpoints.")
    found = list_checkpoints(folder)
    if len(found) < number:
        raise InputError(
            f"{folder}: {quantity(len(found), 'checkpoint')}, fewer than --last {number}: give a smaller number, or "
            "let training write more by save_checkpoint_steps."
        )
    return [found[step] for step in sorted(found)[-number:]]


def average_checkpoints(paths: Sequence[PathLike], target: PathLike) -> None:
    """Write the mean of checkpoints of one run, reading one at a time.

    Each array of the model and the classifier, batch norm statistics included, is averaged in double precision; whole
    numbers are the last checkpoint's. The optimiser's state and moving averages are left out. The meta is the last
    checkpoint's, with the names of all under "averaged".

    Raises:
        UsageError: `target` has a name of a run's checkpoints.
        InputError: a checkpoint is damaged, or models, speakers or sizes differ.
    """
    from mindspore import Parameter, Tensor

    from mindvox.models.checkpoint import CHECKPOINT_NAME, META_KEYS, write_checkpoint

    name = Path(target).name
    if not name.endswith(".ckpt") or CHECKPOINT_NAME.fullmatch(name):
        raise UsageError(
            f"--to: expected a name such as average.ckpt, unlike those of a run's checkpoints, got {name}."
        )
    totals, meta = _weights(paths[0])
    for path in paths[1:]:
        arrays, other = _weights(path)
        _check_alike(path, arrays, other, paths[0], totals, meta)
        meta = other
        totals = {key: array + totals[key] if _is_real(array) else array for key, array in arrays.items()}
    means = {
        key: (array / len(paths)).astype(np.float32) if _is_real(array) else array for key, array in totals.items()
    }
    parameters = {key: Parameter(Tensor(array), name=key) for key, array in means.items()}
    kept = {key: meta[key] for key in (*META_KEYS, "loss", "sub_centers") if key in meta}
    write_checkpoint(target, parameters, {**kept, "averaged": [Path(path).name for path in paths]})


def _weights(path: PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return a checkpoint's weights, real numbers as float64, and its meta."""
    from mindvox.models.checkpoint import read_checkpoint

    arrays, meta = read_checkpoint(path)
    weights = {name: array for name, array in arrays.items() if name.startswith(("model.", "loss."))}
    return {name: array.astype(np.float64) if _is_real(array) else array for name, array in weights.items()}, meta


def _is_real(array: np.ndarray) -> bool:
    return np.issubdtype(array.dtype, np.floating)


def _check_alike(
    path: PathLike,
    arrays: dict[str, np.ndarray],
    meta: dict[str, Any],
    first: PathLike,
    totals: dict[str, np.ndarray],
    first_meta: dict[str, Any],
) -> None:
    wrong = [key for key in SAME_KEYS if meta.get(key) != first_meta.get(key)]
    shapes = {name: array.shape for name, array in arrays.items()}
    first_shapes = {name: array.shape for name, array in totals.items()}
    wrong += sorted(name for name in shapes.keys() | first_shapes.keys() if shapes.get(name) != first_shapes.get(name))
    if wrong:
        raise InputError(f"{path}: not of the same run as {first}: they differ in {', '.join(wrong[:3])}.")


if __name__ == "__main__":
    sys.exit(run(main))
