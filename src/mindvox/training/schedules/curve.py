"""The interface of learning rate schedules."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from mindvox.config.option import checked, option


@dataclass(frozen=True)
class RunLength:
    """The length of a run.

    Attributes:
        num_epochs: number of passes over the training data.
        updates_per_epoch: number of updates of the weights in an epoch.
        is_timed: whether the run ends by the clock; the epochs are then spread over its time, and the number of updates
            is unknown.
        size: factor by which lengths in updates shrink, because one update sees this many times as much data.
    """

    num_epochs: int
    updates_per_epoch: float
    is_timed: bool = False
    size: int = 1

    @property
    def num_updates(self) -> float:
        """Number of updates in the run, unless it is timed."""
        return self.num_epochs * self.updates_per_epoch


@dataclass(frozen=True)
class Moment:
    """A moment of a run.

    Attributes:
        update: number of finished updates.
        epochs: number of finished epochs.
        share: finished share of the run, from 0 to 1.
    """

    update: int
    epochs: float
    share: float


class Curve(ABC):
    """The learning rate during a run; a subclass is one file and one line in the registry.

    It depends on the moment only, so that resumed runs and all devices have the same rates.

    Args:
        length: length of the run.
        keys: see `Options`.
    """

    @dataclass
    class Options:
        """Keys of the section `schedule`."""

        max_lrate: float = option(1e-4, "greatest learning rate", above=0)

    def __init__(self, length: RunLength, **keys: Any) -> None:
        self.length = length
        self.options: Any = checked(self.Options(**keys))

    @abstractmethod
    def lrate(self, moment: Moment) -> float:
        """Return the learning rate at a moment."""

    def standstill(self) -> str:
        """Return why the learning rate cannot change as it should in a run of this length, and what to set; "": it
        can.
        """
        return ""


class WarmedUp(Curve):
    """A falling rate times a rising warm-up; subclasses define the fall.

    Args:
        length, keys: see `Curve`.
    """

    @dataclass
    class Options(Curve.Options):
        """Keys of the section `schedule`."""

        warmup_epochs: float = option(0.0, "length of the warm-up, epochs", minimum=0)
        warmup_start: float = option(
            0.0, "learning rate at the start of the warm-up, as a share of its end", minimum=0, below=1
        )

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            if self.warmup_start and not self.warmup_epochs:
                return ["warmup_start: there is no warm-up: set warmup_epochs above 0."]
            return []

    def lrate(self, moment: Moment) -> float:
        return self.warmup(moment.epochs) * self.falling(moment)

    def warmup(self, epochs: float) -> float:
        """Return the factor of the warm-up after this many epochs."""
        options = self.options
        if epochs >= options.warmup_epochs:
            return 1.0
        return options.warmup_start + (1 - options.warmup_start) * epochs / options.warmup_epochs

    @abstractmethod
    def falling(self, moment: Moment) -> float:
        """Return the learning rate without the warm-up."""


def least_rate() -> Any:
    """Return the key of a rate that a schedule falls to."""
    return option(1e-6, "least learning rate", minimum=0)


def rate_problems(options: Any) -> list[str]:
    """Return one line for each conflict between the least and the greatest rate."""
    if options.base_lrate > options.max_lrate:
        return [f"base_lrate: expected at most max_lrate {options.max_lrate:g}, got {options.base_lrate:g}."]
    return []
