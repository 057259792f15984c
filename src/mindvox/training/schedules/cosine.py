"""A learning rate that falls along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983)."""

import math
from dataclasses import dataclass

from mindvox.config.option import option
from mindvox.training.schedules.curve import Moment, WarmedUp, least_rate, rate_problems

LEAST_FALL = 0.01  # of the way from max_lrate to base_lrate; if a run covers less, the rate counts as constant


class Cosine(WarmedUp):
    """Half a cosine period from max_lrate at the warm-up's end to base_lrate, and base_lrate from then on.

    The warm-up of 3D-Speaker and mvector begins at base_lrate: warmup_start is base_lrate / max_lrate. wespeaker's
    begins at 0. mvector's earlier CosineAnnealingLR has decay_epochs 1.2 times num_epochs.

    Args:
        length, keys: see `Curve`.
    """

    @dataclass
    class Options(WarmedUp.Options):
        """Keys of the section `schedule`."""

        base_lrate: float = least_rate()
        decay_epochs: float = option(
            0.0, "epoch at which the least learning rate is reached, warm-up included; 0: num_epochs", minimum=0
        )

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            found = rate_problems(self)
            if 0 < self.decay_epochs <= self.warmup_epochs:
                found.append(
                    f"decay_epochs: expected more than warmup_epochs {self.warmup_epochs:g}, got {self.decay_epochs:g}."
                )
            return found

    def falling(self, moment: Moment) -> float:
        low, high = self.options.base_lrate, self.options.max_lrate
        return low + (high - low) * (1 + math.cos(math.pi * self._position(moment.epochs))) / 2

    def standstill(self) -> str:
        fallen = (1 - math.cos(math.pi * self._position(self.length.num_epochs))) / 2
        if fallen >= LEAST_FALL or self.options.base_lrate == self.options.max_lrate:
            return ""
        return (
            f"decay_epochs is {self.options.decay_epochs:g} and the run has {self.length.num_epochs} epochs: the "
            "learning rate hardly falls. Set decay_epochs: 0 to use the length of the run."
        )

    def _position(self, epochs: float) -> float:
        warmup, end = self.options.warmup_epochs, self.options.decay_epochs or self.length.num_epochs
        return min(max((epochs - warmup) / (end - warmup), 0.0), 1.0)
