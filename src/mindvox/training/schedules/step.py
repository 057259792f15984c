"""A learning rate that falls by steps: StepLR of PyTorch and voxceleb_trainer, 3D-Speaker's StepScheduler."""

import math
from dataclasses import dataclass

from mindvox.config.option import option
from mindvox.training.schedules.curve import Moment, WarmedUp

ROUNDING = 1e-9  # in numbers of steps: an epoch's end may come out slightly low as a quotient


class Step(WarmedUp):
    """max_lrate times step_factor for every step_epochs epochs after the warm-up.

    voxceleb_trainer has 0.95 every test_interval = 10 epochs; 3D-Speaker's factor is 0.1. wespeaker's
    WarmupLR_withStepDecay warms up from 1 / (updates of the warm-up + 1): that is its warmup_start.

    Args:
        length, keys: see `Curve`.
    """

    @dataclass
    class Options(WarmedUp.Options):
        """Keys of the section `schedule`."""

        step_epochs: float = option(10.0, "interval between two steps, epochs", above=0)
        step_factor: float = option(0.95, "factor on the learning rate in each step", above=0, below=1)

    def falling(self, moment: Moment) -> float:
        done = max(0.0, moment.epochs - self.options.warmup_epochs) / self.options.step_epochs
        return self.options.max_lrate * self.options.step_factor ** math.floor(done + ROUNDING)

    def standstill(self) -> str:
        first, num_epochs = self.options.warmup_epochs + self.options.step_epochs, self.length.num_epochs
        if first < num_epochs:
            return ""
        steps = max((num_epochs - self.options.warmup_epochs) / 4, 1 / self.length.updates_per_epoch)
        return (
            f"the first step comes after epoch {first:g} and the run has {num_epochs}: the learning rate stays at "
            f"max_lrate {self.options.max_lrate:g}. Set step_epochs: {steps:.3g} for three steps, or more num_epochs."
        )
