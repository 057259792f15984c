"""What training asks of a schedule of the learning rate."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from mindvox.config.option import checked, option


@dataclass(frozen=True)
class RunLength:
    """How long a run is.

    Attributes:
        num_epochs: passes over the training data.
        updates_per_epoch: changes of the weights in one of them.
        is_timed: whether the run ends by the clock; the epochs are then spread over its time, and the number of updates
            is not known.
        size: what is counted in updates comes so many times as fast, because one update sees so many times as much.
    """

    num_epochs: int
    updates_per_epoch: float
    is_timed: bool = False
    size: int = 1

    @property
    def num_updates(self) -> float:
        """Updates of the whole run, where it is not timed."""
        return self.num_epochs * self.updates_per_epoch


@dataclass(frozen=True)
class Moment:
    """A moment of a run.

    Attributes:
        update: how many updates are done.
        epochs: how many epochs are done.
        share: which share of the run is done, from 0 to 1.
    """

    update: int
    epochs: float
    share: float


class Curve(ABC):
    """The learning rate over a run; a subclass is one file and one line in the registry.

    It depends on the moment alone, so that a resumed run, and every device, has the same rates.

    Args:
        length: of the run.
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
        """Say why the learning rate cannot change as it should in a run of this length, and what to set; "": it can."""
        return ""


class WarmedUp(Curve):
    """A rate that falls, times a warm-up that rises; a subclass says how it falls.

    Args:
        length, keys: see `Curve`.
    """

    @dataclass
    class Options(Curve.Options):
        """Keys of the section `schedule`."""

        warmup_epochs: float = option(0.0, "epochs in which the learning rate rises", minimum=0)
        warmup_start: float = option(
            0.0, "share of the learning rate with which the warm-up begins", minimum=0, below=1
        )

        def problems(self) -> list[str]:
            """Return what is wrong between keys, one line each."""
            if self.warmup_start and not self.warmup_epochs:
                return ["warmup_start: there is no warm-up: set warmup_epochs above 0."]
            return []

    def lrate(self, moment: Moment) -> float:
        return self.warmup(moment.epochs) * self.falling(moment)

    def warmup(self, epochs: float) -> float:
        """Return the factor of the warm-up after so many epochs."""
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
    """Return what is wrong between the least and the greatest rate, one line each."""
    if options.base_lrate > options.max_lrate:
        return [f"base_lrate: expected at most max_lrate {options.max_lrate:g}, got {options.base_lrate:g}."]
    return []
