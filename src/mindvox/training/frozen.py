"""Parts of a model that training does not change."""

from collections.abc import Sequence

from mindspore import nn

from mindvox.errors import InputError


def freeze_parts(model: nn.Cell, parts: Sequence[str]) -> None:
    """Exclude parts of a model from training, including the statistics of their batch norms.

    Args:
        model: changed in place, before its optimiser is created and it is compiled.
        parts: names of parameters, or prefixes of them up to a dot, such as "head" of "head.conv.weight".

    Raises:
        InputError: no parameter has this name, or nothing is left to train.
    """
    for part in parts:
        found = [parameter for parameter in model.get_parameters() if _is_in(parameter.name, part)]
        if not found:
            names = dict.fromkeys(parameter.name.partition(".")[0] for parameter in model.get_parameters())
            raise InputError(
                f"frozen_parts: the model has no part {part!r}; its parts are {', '.join(names)}, and parts of these, "
                f"such as {next(iter(model.get_parameters())).name.rpartition('.')[0]}."
            )
        for parameter in found:
            parameter.requires_grad = False
    if parts and not model.trainable_params():
        raise InputError("frozen_parts: nothing of the model is left to train: leave out a part.")
    for _, cell in model.cells_and_names():
        is_norm = isinstance(cell, (nn.BatchNorm1d, nn.BatchNorm2d))
        if is_norm and any(_is_in(cell.moving_mean.name, part) for part in parts):
            cell.use_batch_statistics = False


def _is_in(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")
