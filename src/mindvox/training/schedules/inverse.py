"""A learning rate that falls as 1 / n: RawNet2's, which is Keras's decay."""

from dataclasses import dataclass

from mindvox.config.option import option
from mindvox.training.schedules.curve import Moment, WarmedUp

LEAST_FALL = 0.01  # share of max_lrate; a run whose rate falls by less has a rate that stands still


class Inverse(WarmedUp):
    """max_lrate / (1 + decay n) after n updates, times the warm-up. The updates count in a timed run, too.

    Args:
        length, keys: see `Curve`.
    """

    @dataclass
    class Options(WarmedUp.Options):
        """Keys of the section `schedule`."""

        decay: float = option(1e-4, "what each update adds to the divisor of the learning rate, at first 1", above=0)

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
