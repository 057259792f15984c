"""The learning rate during a run."""

import math

from mindvox.config import Config
from mindvox.training.schedules.curve import Moment, RunLength


class Schedule:
    """Learning rate of every update: the curve of the section `schedule`, and the progress of the run.

    In a run with a time limit, num_epochs is spread over that time.

    Args:
        config: the optimisation keys.
        num_batches: number of batches in an epoch of one rank.
        num_ranks: number of ranks; with scale_lrate, the ranks and the accumulated batches scale the learning rate, and
            lengths that a curve counts in updates shrink.
    """

    def __init__(self, config: Config, num_batches: int, num_ranks: int = 1) -> None:
        self.config = config
        self.span_s = config.max_train_minutes * 60
        self.updates_per_epoch = num_batches / config.accumulate_steps
        size = num_ranks * config.accumulate_steps
        self.factor = {"none": 1.0, "linear": float(size), "sqrt": math.sqrt(size)}[config.scale_lrate]
        length = RunLength(
            config.num_epochs, self.updates_per_epoch, self.span_s > 0, 1 if config.scale_lrate == "none" else size
        )
        self.curve = config.schedule.build(length)

    def lrate(self, update: int, elapsed_s: float) -> float:
        """Return the learning rate after `update` updates, `elapsed_s` seconds into the run."""
        return self.factor * self.curve.lrate(self.moment(update, elapsed_s))

    def moment(self, update: int, elapsed_s: float) -> Moment:
        """Return the progress of the run after `update` updates, `elapsed_s` seconds into it."""
        num_epochs = self.config.num_epochs
        if self.span_s > 0:
            share = elapsed_s / self.span_s
            return Moment(update, num_epochs * share, min(1.0, share))
        epochs = update / self.updates_per_epoch
        return Moment(update, epochs, min(1.0, epochs / num_epochs))

    def standstill(self) -> str:
        """Return why the learning rate cannot change as it should in this run, and what to set; "": it can."""
        said = self.curve.standstill()
        return f"schedule {self.config.schedule.name}: {said}" if said else ""
