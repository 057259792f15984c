"""Triangles between two learning rates (Smith 2017, arXiv:1506.01186)."""

from dataclasses import dataclass
from typing import Any

from mindvox.config.option import option
from mindvox.training.schedules.curve import Curve, Moment, RunLength, least_rate, rate_problems


class Cyclic(Curve):
    """Triangles of 2 * step_size updates from base_lrate to max_lrate and back; one triangle in a timed run.

    cycle_decay 0.5 is Smith's triangular2, wespeaker's TriAngular2.

    Args:
        length, keys: see `Curve`.
    """

    @dataclass
    class Options(Curve.Options):
        """Keys of the section `schedule`."""

        base_lrate: float = least_rate()
        step_size: int = option(65000, "length of half a cycle, steps", minimum=1)
        cycle_peak: float = option(0.5, "share of a cycle in which the learning rate rises", above=0, below=1)
        cycle_decay: float = option(1.0, "height of a cycle, as a share of the previous one", above=0)

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            found = rate_problems(self)
            if self.cycle_decay > 1:
                found.append(f"cycle_decay: expected at most 1, got {self.cycle_decay:g}.")
            return found

    def __init__(self, length: RunLength, **keys: Any) -> None:
        super().__init__(length, **keys)
        self.cycle = max(2, round(2 * self.options.step_size / length.size))

    def lrate(self, moment: Moment) -> float:
        low, high = self.options.base_lrate, self.options.max_lrate
        position, height = moment.share, high - low
        if not self.length.is_timed:
            position = moment.update % self.cycle / self.cycle
            height *= self.options.cycle_decay ** (moment.update // self.cycle)
        return low + height * triangle(position, self.options.cycle_peak)

    def standstill(self) -> str:
        updates, rise = self.length.num_updates, self.cycle * self.options.cycle_peak
        if self.length.is_timed or updates >= rise or self.options.base_lrate == self.options.max_lrate:
            return ""
        step_size = max(1, round(updates * self.length.size / 2))
        return (
            f"the learning rate rises for {rise:.0f} updates and the run has {updates:.0f}: it never reaches max_lrate "
            f"{self.options.max_lrate:g}. Set step_size: {step_size} for one cycle in the run, or more num_epochs."
        )


def triangle(position: float, peak: float = 0.5) -> float:
    """Return the height in [0, 1] of a triangle at `position` in [0, 1]; it is 1 at `peak` and 0 at both ends."""
    position = min(max(position, 0.0), 1.0)
    return position / peak if position < peak else (1 - position) / (1 - peak)
