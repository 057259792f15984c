"""The description of another toolkit's model files, and shared code."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union

import numpy as np

from mindvox.deploy.torch_file import read_state
from mindvox.errors import InputError
from mindvox.files import PathLike

State = Mapping[str, np.ndarray]
BATCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
COUNTER = "num_batches_tracked"  # update counter of torch's batch norms; not needed


@dataclass(frozen=True)
class Untold:
    """A key of the section `model` that a toolkit's files do not contain; the user must give it.

    Attributes:
        choices: its possible values.
        also: for each choice, other keys of the section that it sets.
    """

    choices: tuple[str, ...]
    also: Mapping[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Architecture:
    """An architecture in the form of other toolkits.

    Attributes:
        title: common name of the architecture.
        mark: an entry of its states that later architectures in `Toolkit` do not have.
        settings: derives the section `model` from the shapes of a state; KeyError or ValueError if that is impossible.
            A key that cannot be derived is `Untold`.
        name: maps one of our parameters to the toolkit's name; None: a constant without an entry.
    """

    title: str
    mark: str
    settings: Callable[[State], dict[str, Any]]
    name: Callable[[str], Optional[str]]


@dataclass(frozen=True)
class Toolkit:
    """A toolkit's model files.

    Attributes:
        architectures: supported architectures.
        front_end: returns the features of a model, in stored form, from its section `model`.
        prefix: prefix of the model's entries in files of a training; files without it are read too.
        left_out: pattern of entries that belong to training and are not imported.
        constants: pattern of entries that are not parameters; sizes may be derived from them.
        untold: options of the front end that its files do not contain. The user may give them; `front_end` has the most
            common value.
        read: reads a file as arrays by name; raises InputError for other files.
    """

    architectures: tuple[Architecture, ...]
    front_end: Callable[[dict[str, Any]], dict[str, Any]]
    prefix: str = ""
    left_out: str = r"$^"
    constants: str = r"$^"
    untold: tuple[str, ...] = ()
    read: Callable[[PathLike], dict[str, np.ndarray]] = read_state

    def split(self, state: State) -> tuple[dict[str, np.ndarray], list[str]]:
        """Return the model's entries of a file by their names in the model, and the names of entries left out."""
        left_out = [name for name in state if re.fullmatch(self.left_out, name)]
        kept = {name: array for name, array in state.items() if name not in left_out and not name.endswith(COUNTER)}
        if all(name.startswith(self.prefix) for name in kept):
            kept = {name.removeprefix(self.prefix): array for name, array in kept.items()}
        return kept, left_out

    def architecture_of(self, state: State, source: PathLike) -> Architecture:
        """Return the architecture of a model's entries.

        Raises:
            InputError: it is none of this toolkit's architectures.
        """
        for architecture in self.architectures:
            if architecture.mark in state:
                return architecture
        known = ", ".join(f"{one.title} (it has {one.mark})" for one in self.architectures)
        raise InputError(f"{source}: none of the models that are read from this toolkit: {known}.")


Patterns = Sequence[tuple[str, Union[str, Callable[[re.Match], str]]]]
"""Regular expressions and their replacements, see `re.sub`."""


def renamed(name: str, patterns: Patterns) -> str:
    """Return a toolkit's name of one of our parameters.

    Args:
        name: our name.
        patterns: replacements in the path before the last dot, applied in order. Batch norm names after it become
            torch's.
    """
    path, leaf = name.rsplit(".", 1)
    for pattern, replacement in patterns:
        path = re.sub(pattern, replacement, path)
    return f"{path}.{BATCH_NORM.get(leaf, leaf)}"


def count_entries(state: State, name: str, first: int = 0) -> int:
    """Return the length of the run of numbers from `first` that, put in place of {}, are names in a state."""
    number = first
    while name.format(number) in state:
        number += 1
    return number - first


def check_sizes(fit: bool) -> None:
    """Raise ValueError unless the largest weights fit together, so that no model is built that its file does not
    hold.
    """
    if not fit:
        raise ValueError("the sizes of its layers do not fit together")
