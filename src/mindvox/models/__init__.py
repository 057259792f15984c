"""Models from their settings and from checkpoints."""

from collections.abc import Mapping
from copy import copy
from typing import Any, Optional

import numpy as np
from mindspore import nn

from mindvox.config import Choice, Config, Given, describe
from mindvox.errors import InputError
from mindvox.files import PathLike
from mindvox.frontend.frames import Windows
from mindvox.layers.building import building_for
from mindvox.models.checkpoint import assign, find_checkpoint, read_checkpoint
from mindvox.registry import MODELS


def create_model(settings: Mapping[str, Any], device_target: str = "CPU") -> nn.Cell:
    """Build a model for a device.

    Args:
        settings: a section `model`, as a checkpoint's meta holds it: "name", and the keys of that class.
        device_target: the device that will run the model.
    """
    keys = {key: value for key, value in settings.items() if key != "name"}
    with building_for(device_target):
        return MODELS.get(settings["name"])(**keys)


def load_model(checkpoint: PathLike, device_target: str = "CPU", fold: bool = False) -> tuple[nn.Cell, dict[str, Any]]:
    """Build the model that a checkpoint describes, with the weights for evaluation, in evaluation mode.

    Args:
        checkpoint: the file, or a folder, whose last checkpoint is taken.
        device_target: see `create_model`.
        fold: fold batch norms into convolutions if the architecture supports it: faster, equal up to rounding.

    Returns:
        The model, and the checkpoint's meta: "model" (settings), "front_end", "speakers_sha256" (null if
        unknown), "epoch", "step".

    Raises:
        InputError: the file is missing, damaged, or its weights do not fit the model that it names.
    """
    checkpoint = find_checkpoint(checkpoint)
    arrays, meta = read_checkpoint(checkpoint)
    return trained_model(arrays, meta["model"], checkpoint, device_target, fold), meta


def trained_model(
    arrays: dict[str, np.ndarray],
    settings: Mapping[str, Any],
    checkpoint: PathLike,
    device_target: str = "CPU",
    fold: bool = False,
) -> nn.Cell:
    """Build a model with the weights for evaluation, in evaluation mode.

    Args:
        arrays: the checkpoint's arrays.
        settings: the section `model` of its meta.
        checkpoint: its file, for messages.
        device_target, fold: see `load_model`.

    Raises:
        InputError: the weights do not fit the settings.
    """
    weights = evaluation_weights(arrays)
    if fold and is_foldable(settings):
        try:
            model = folded_model(settings, weights, device_target)
        except InputError as error:
            raise InputError(f"{checkpoint}: {error}") from None
    else:
        model = create_model(settings, device_target)
        assign(model, weights, "model.", checkpoint)
    model.set_train(False)
    return model


def fewest_frames(settings: Mapping[str, Any]) -> int:
    """Return the fewest frames that a model with these settings takes."""
    choice = section_of(settings, "the checkpoint")
    least = MODELS.get(choice.name).min_frames
    return least if isinstance(least, int) else least(choice.options)


def is_foldable(settings: Mapping[str, Any]) -> bool:
    """Return whether a model with these settings can be built with folded batch norms."""
    choice = section_of(settings, "the checkpoint")
    cls = MODELS.get(choice.name)
    return hasattr(cls, "folded") and cls.is_foldable(choice.options)


def further_outputs(settings: Mapping[str, Any]) -> dict[str, int]:
    """Return the further outputs that a model can give besides the embedding: number of channels by name."""
    choice = section_of(settings, "the checkpoint")
    cls = MODELS.get(choice.name)
    return cls.further_outputs(choice.options) if hasattr(cls, "further_outputs") else {}


def windows_of(settings: Mapping[str, Any]) -> Optional[Windows]:
    """Return the windows in which a model embeds an utterance, or None if it takes any length."""
    choice = section_of(settings, "the checkpoint")
    cls = MODELS.get(choice.name)
    return cls.windows(choice.options) if hasattr(cls, "windows") else None


def folded_model(
    settings: Mapping[str, Any],
    weights: Mapping[str, np.ndarray],
    device_target: str = "CPU",
    with_attention: bool = False,
) -> nn.Cell:
    """Return a foldable model with a checkpoint's weights "model.*", its batch norms folded.

    Raises:
        InputError: the weights do not fit the settings.
    """
    choice = section_of(settings, "the checkpoint")
    with building_for(device_target):
        return MODELS.get(choice.name).folded(weights, choice.options, with_attention)


def evaluation_weights(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a checkpoint's weights for evaluation, "model.*": the moving averages if it has them."""
    averages = {name.removeprefix("ema."): array for name, array in arrays.items() if name.startswith("ema.")}
    if averages:
        return {f"model.{name}": array for name, array in averages.items()}
    return {name: array for name, array in arrays.items() if name.startswith("model.")}


def section_of(settings: Mapping[str, Any], source: PathLike) -> Choice:
    """Return the section `model` of a checkpoint's settings."""
    keys = {key: Given(str(source), key, value) for key, value in settings.items() if key != "name"}
    return Choice(MODELS, settings["name"], keys)


def take_settings(config: Config, settings: dict[str, Any], checkpoint: PathLike) -> Config:
    """Return the configuration with the checkpoint's model settings, and print the model.

    A checkpoint stores its model settings. A differing key of a YAML file is ignored, and a printed line says so. A
    differing key of the command line is an error.

    Args:
        config: the user's settings.
        settings: the section `model` of the checkpoint's meta.
        checkpoint: its file, for the messages.

    Raises:
        InputError: the command line sets another model.
    """
    others = config.model.differing(settings)
    wrong = [given for given in others if given.is_of_command_line]
    if wrong:
        said = ", ".join(f"--{given.key}={given.value}" for given in wrong)
        raise InputError(
            f"{checkpoint}: the checkpoint has {describe(settings)}; the command line says {said}. Leave that "
            "out, because the checkpoint sets it; or name another checkpoint."
        )
    print(f"model: {describe(settings)}, of {checkpoint}")
    if others:
        unused = ", ".join(f"{given.key} {given.value}" for given in others)
        print(f"not used: {unused} of the configuration: the checkpoint sets the model")
    taken = copy(config)
    taken.model = section_of(settings, checkpoint)
    return taken
