"""Architectures by name, and models from their checkpoints."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
from mindspore import nn

from src.config import Config, spellings
from src.errors import InputError
from src.files import PathLike
from src.layers.conv import conv_form
from src.models.checkpoint import assign, find_checkpoint, read_checkpoint
from src.models.ecapa_tdnn import EcapaTdnn
from src.models.fold import fold_ecapa
from src.models.folded_cell import FoldedEcapaCell
from src.models.wespeaker_ecapa import WespeakerEcapa

KEYS = {"name": "model"}  # of a model's settings that the configuration calls otherwise
MODELS = {"ecapa_tdnn": EcapaTdnn, "wespeaker_ecapa": WespeakerEcapa}


def model_settings(config: Config) -> dict[str, Any]:
    """Return the settings of the model that a configuration describes."""
    return {
        "name": config.model,
        "in_channels": config.in_channels,
        "channels": config.channels,
        "emb_size": config.emb_size,
        "global_context": config.global_context,
    }


def create_model(settings: dict[str, Any], device_target: str = "CPU") -> nn.Cell:
    """Build a model for a device.

    Args:
        settings: "name", a key of MODELS, and the arguments of its constructor: what a checkpoint's meta holds.
        device_target: the device that will run the model, which decides the form of its convolutions.
    """
    arguments = dict(settings)
    name = arguments.pop("name")
    if name not in MODELS:
        raise InputError(f"model: expected one of {', '.join(MODELS)}, got {name!r}.")
    return MODELS[name](**arguments, form=conv_form(device_target))


def load_model(checkpoint: PathLike, device_target: str = "CPU", fold: bool = False) -> tuple[nn.Cell, dict[str, Any]]:
    """Build the model that a checkpoint describes, with the weights for evaluation, in evaluation mode.

    Args:
        checkpoint: the file; a folder: its last checkpoint.
        device_target: see `create_model`.
        fold: take the form without batch norms where the architecture has one: faster, the same up to rounding.

    Returns:
        The model, and the checkpoint's meta: "model" (settings), "front_end", "speakers_sha256" (null:
        unknown), "epoch", "step".

    Raises:
        InputError: the file is missing, damaged, or its weights do not fit the model that it names.
    """
    checkpoint = find_checkpoint(checkpoint)
    arrays, meta = read_checkpoint(checkpoint)
    weights = evaluation_weights(arrays)
    model = create_model(meta["model"], device_target)
    assign(model, weights, "model.", checkpoint)
    if fold and is_foldable(meta["model"]):
        model = FoldedEcapaCell(fold_ecapa(weights, meta["model"]), form=conv_form(device_target))
    model.set_train(False)
    return model, meta


def is_foldable(settings: dict[str, Any]) -> bool:
    """Return whether the model of these settings has a form without batch norms."""
    return settings["name"] == "ecapa_tdnn"


def evaluation_weights(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights that a checkpoint's model is evaluated with, "model.*": the moving average, if it has one."""
    averages = {name.removeprefix("ema."): array for name, array in arrays.items() if name.startswith("ema.")}
    if averages:
        return {f"model.{name}": array for name, array in averages.items()}
    return {name: array for name, array in arrays.items() if name.startswith("model.")}


def take_settings(config: Config, settings: dict[str, Any], checkpoint: PathLike) -> Config:
    """Return the configuration with the model of a checkpoint, and print which model that is.

    A checkpoint knows its model. The keys of a YAML file describe the model of a new training; those that differ are
    not used, which is printed. One that was given on the command line and differs is a mistake.

    Args:
        config: the settings of the user.
        settings: the model's, from the checkpoint's meta.
        checkpoint: its file, for the messages.

    Raises:
        InputError: a key of the command line says another model.
    """
    names = {field.name: spellings(field)[0] for field in fields(config)}
    wanted = {KEYS.get(key, key): value for key, value in settings.items() if KEYS.get(key, key) in names}
    others = [key for key, value in wanted.items() if getattr(config, key) != value]
    wrong = [key for key in others if key in config.on_command_line]
    if wrong:
        given = ", ".join(f"--{names[key]}={getattr(config, key)}" for key in wrong)
        has = ", ".join(f"{names[key]} {wanted[key]}" for key in wrong)
        raise InputError(
            f"{checkpoint}: the checkpoint has {has}; the command line says {given}. Leave that out, the checkpoint "
            "knows its model; or name another checkpoint."
        )
    print(f"model: {describe_settings(settings)}, of {checkpoint}")
    if others:
        unused = ", ".join(f"{names[key]} {getattr(config, key)}" for key in others)
        print(f"not used: {unused} of the configuration, which describes the model of a new training")
    taken = replace(config, **wanted)
    taken.on_command_line = config.on_command_line  # no field, which `replace` would keep
    return taken


def describe_settings(settings: dict[str, Any]) -> str:
    """Return a model's name and sizes in words."""
    context = "" if settings["global_context"] else ", without global context"
    return (
        f"{settings['name']}, {settings['in_channels']} mel bins, {settings['channels']} channels, "
        f"embeddings of {settings['emb_size']}{context}"
    )
