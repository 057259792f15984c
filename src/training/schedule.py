"""Learning rate over a run (Smith 2017, Cyclical Learning Rates, arXiv:1506.01186)."""


def triangle(position: float, peak: float = 0.5) -> float:
    """Return the height in [0, 1] of a triangle at `position` in [0, 1], which is 1 at `peak` and 0 at both ends."""
    position = min(max(position, 0.0), 1.0)
    return position / peak if position < peak else (1 - position) / (1 - peak)


class CyclicLearningRate:
    """Triangular cycles between two rates, over steps or once over a span of time.

    Args:
        base_lrate: least rate.
        max_lrate: greatest rate.
        step_size: half of a cycle, steps.
        cycle_peak: share of a cycle in which the rate rises.
        span_s: when positive, one cycle over so many seconds instead.
    """

    def __init__(
        self, base_lrate: float, max_lrate: float, step_size: int, cycle_peak: float = 0.5, span_s: float = 0.0
    ) -> None:
        self.base_lrate = base_lrate
        self.max_lrate = max_lrate
        self.cycle = 2 * step_size
        self.cycle_peak = cycle_peak
        self.span_s = span_s

    def at(self, step: int, elapsed_s: float) -> float:
        """Return the rate of a step, counted from 0, that begins `elapsed_s` seconds into the run."""
        position = elapsed_s / self.span_s if self.span_s > 0 else step % self.cycle / self.cycle
        return self.base_lrate + (self.max_lrate - self.base_lrate) * triangle(position, self.cycle_peak)
