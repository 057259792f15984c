"""The learning rate over a run."""

import math

from mindvox.config import Config


class Schedule:
    """Learning rate of every update.

    The schedules are: cyclic, triangles between base_lrate and max_lrate (Smith 2017, arXiv:1506.01186); exponential,
    from max_lrate down to base_lrate by equal factors, times the warm-up (wespeaker's ExponentialDecrease); cosine,
    half a period from max_lrate at the warm-up's end down to base_lrate (Loshchilov and Hutter 2017,
    arXiv:1608.03983). A warm-up rises from 0.

    In a run that is bound by time the num_epochs spread over that time, and cyclic is one cycle.

    Args:
        config: the keys of optimisation.
        num_batches: batches of an epoch of one process.
        num_ranks: processes that train together; with scale_lrate, they and the batches of an update raise the
            learning rate and shorten the cycle.
    """

    def __init__(self, config: Config, num_batches: int, num_ranks: int = 1) -> None:
        self.config = config
        self.span_s = config.max_train_minutes * 60
        self.updates_per_epoch = num_batches / config.accumulate_steps
        size = num_ranks * config.accumulate_steps
        self.factor = {"none": 1.0, "linear": float(size), "sqrt": math.sqrt(size)}[config.scale_lrate]
        self.cycle = 2 * config.step_size
        if config.scale_lrate != "none":
            self.cycle = max(2, round(self.cycle / size))
        self.curve = {"cyclic": self._cyclic, "exponential": self._exponential, "cosine": self._cosine}[config.schedule]

    def lrate(self, update: int, elapsed_s: float) -> float:
        """Return the learning rate after `update` updates, `elapsed_s` seconds into the run."""
        return self.factor * self.curve(update, elapsed_s)

    def epochs(self, update: int, elapsed_s: float) -> float:
        """Return how many epochs are done after `update` updates, `elapsed_s` seconds into the run."""
        if self.span_s > 0:
            return self.config.num_epochs * elapsed_s / self.span_s
        return update / self.updates_per_epoch

    def _cyclic(self, update: int, elapsed_s: float) -> float:
        low, high = self.config.base_lrate, self.config.max_lrate
        position = elapsed_s / self.span_s if self.span_s > 0 else update % self.cycle / self.cycle
        return low + (high - low) * triangle(position, self.config.cycle_peak)

    def _exponential(self, update: int, elapsed_s: float) -> float:
        low, high = self.config.base_lrate, self.config.max_lrate
        epochs = self.epochs(update, elapsed_s)
        return self._warmup(epochs) * high * (low / high) ** min(1.0, epochs / self.config.num_epochs)

    def _cosine(self, update: int, elapsed_s: float) -> float:
        low, high, warmup = self.config.base_lrate, self.config.max_lrate, self.config.warmup_epochs
        epochs = self.epochs(update, elapsed_s)
        position = min(max((epochs - warmup) / (self.config.num_epochs - warmup), 0.0), 1.0)
        return self._warmup(epochs) * (low + (high - low) * (1 + math.cos(math.pi * position)) / 2)

    def _warmup(self, epochs: float) -> float:
        return min(1.0, epochs / self.config.warmup_epochs) if self.config.warmup_epochs > 0 else 1.0


def triangle(position: float, peak: float = 0.5) -> float:
    """Return the height in [0, 1] of a triangle at `position` in [0, 1], which is 1 at `peak` and 0 at both ends."""
    position = min(max(position, 0.0), 1.0)
    return position / peak if position < peak else (1 - position) / (1 - peak)
