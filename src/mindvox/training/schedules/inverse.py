"""A learning rate that falls as 1 / n, as in RawNet2 and Keras's decay."""

from dataclasses import dataclass

from mindvox.config.option import option
from mindvox.training.schedules.curve import Moment, WarmedUp

LEAST_FALL = 0.01  # share of max_lrate; if a run's rate falls by less, it counts as constant


class Inverse(WarmedUp):
    """max_lrate / (1 + decay n) after n updates, times the warm-up. A timed run counts updates too.

    Args:
        length, keys: see `Curve`.
    """

    @dataclass
    class Options(WarmedUp.Options):
        """Keys of the section `schedule`."""

        decay: float = option(
            1e-4, "increment of the divisor of the learning rate in each update; the divisor starts at 1", above=0
        )

    def falling(self, moment: Moment) -> float:
        return self.options.max_lrate / (1 + self.options.decay * self.length.size * moment.update)

    def standstill(self) -> str:
        updates = self.length.num_updates * self.length.size
        if self.length.is_timed or self.options.decay * updates >= LEAST_FALL:
            return ""
        return (
            f"decay is {self.options.decay:g} and the run has {self.length.num_updates:.0f} updates: the learning rate "
            f"falls by less than {LEAST_FALL:.0%}. Set decay: {1 / updates:.2g} to halve it in the run."
        )
