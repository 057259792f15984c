"""A learning rate that falls by equal factors: wespeaker's ExponentialDecrease."""

from dataclasses import dataclass

from mindvox.training.schedules.curve import Moment, WarmedUp, least_rate, rate_problems


class Exponential(WarmedUp):
    """From max_lrate to base_lrate by equal factors over the run, times the warm-up, which overlaps it.

    wespeaker's warm_from_zero: False on n devices is warmup_start 1 / n.

    Args:
        length, keys: see `Curve`.
    """

    @dataclass
    class Options(WarmedUp.Options):
        """Keys of the section `schedule`."""

        base_lrate: float = least_rate()

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            found = rate_problems(self)
            if self.base_lrate == 0:
                found.append("base_lrate: an exponential schedule cannot end at 0.")
            return found

    def falling(self, moment: Moment) -> float:
        low, high = self.options.base_lrate, self.options.max_lrate
        return high * (low / high) ** moment.share
