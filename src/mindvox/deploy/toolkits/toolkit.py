"""What this project knows about another toolkit, and what several of them share."""

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
COUNTER = "num_batches_tracked"  # torch's batch norms count their updates; nothing reads it


@dataclass(frozen=True)
class Untold:
    """A key of the section `model` that a toolkit's files do not tell: whoever imports one has to.

    Attributes:
        choices: the values that it may have there.
        also: other values of keys of the section that a choice brings, by the choice.
    """

    choices: tuple[str, ...]
    also: Mapping[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Architecture:
    """A model as other toolkits keep it.

    Attributes:
        title: what people call it.
        mark: an entry that its states have and those of the architectures behind it in `Toolkit` have not.
        settings: the section `model`, read off the shapes of a state; KeyError or ValueError when that cannot be. A key
            that cannot be read off is `Untold`.
        name: the toolkit's name of one of our parameters; None: the toolkit has no such entry, because it is constant.
    """

    title: str
    mark: str
    settings: Callable[[State], dict[str, Any]]
    name: Callable[[str], Optional[str]]


@dataclass(frozen=True)
class Toolkit:
    """How a toolkit keeps its models.

    Attributes:
        architectures: those that are read.
        front_end: the features that a model takes, as checkpoints store them, from its section `model`.
        prefix: what stands before each name of the model's entries in files of a training; files without it are read
            too.
        left_out: pattern of entries that belong to training and are not imported.
        constants: pattern of entries that are no parameters; sizes may be read off them.
        untold: keys of the front end that its files do not tell. The user may give them, and `front_end` has the most
            common value.
        read: its file as arrays by name; InputError when it is none.
    """

    architectures: tuple[Architecture, ...]
    front_end: Callable[[dict[str, Any]], dict[str, Any]]
    prefix: str = ""
    left_out: str = r"$^"
    constants: str = r"$^"
    untold: tuple[str, ...] = ()
    read: Callable[[PathLike], dict[str, np.ndarray]] = read_state

    def split(self, state: State) -> tuple[dict[str, np.ndarray], list[str]]:
        """Return the model's entries of a file by their names in the model, and the names of those left out."""
        left_out = [name for name in state if re.fullmatch(self.left_out, name)]
        kept = {name: array for name, array in state.items() if name not in left_out and not name.endswith(COUNTER)}
        if all(name.startswith(self.prefix) for name in kept):
            kept = {name.removeprefix(self.prefix): array for name, array in kept.items()}
        return kept, left_out

    def architecture_of(self, state: State, source: PathLike) -> Architecture:
        """Return the architecture that the entries of a model belong to.

        Raises:
            InputError: it is none of this toolkit's.
        """
        for architecture in self.architectures:
            if architecture.mark in state:
                return architecture
        known = ", ".join(f"{one.title} (it has {one.mark})" for one in self.architectures)
        raise InputError(f"{source}: none of the models that are read from this toolkit: {known}.")


Patterns = Sequence[tuple[str, Union[str, Callable[[re.Match], str]]]]
"""Regular expressions and what takes their place, see `re.sub`."""


def renamed(name: str, patterns: Patterns) -> str:
    """Return a toolkit's name of one of our parameters.

    Args:
        name: ours.
        patterns: change the path before the last dot, one after the other. What is behind it is a batch norm's word in
            torch where it is one of ours.
    """
    path, leaf = name.rsplit(".", 1)
    for pattern, replacement in patterns:
        path = re.sub(pattern, replacement, path)
    return f"{path}.{BATCH_NORM.get(leaf, leaf)}"


def count_entries(state: State, name: str, first: int = 0) -> int:
    """Return for how many numbers from `first` on, put in place of {}, a name is in a state without a gap."""
    number = first
    while name.format(number) in state:
        number += 1
    return number - first


def check_sizes(fit: bool) -> None:
    """Raise ValueError unless the greatest weights fit together: then no model is built that its file does not hold."""
    if not fit:
        raise ValueError("the sizes of its layers do not fit together")
