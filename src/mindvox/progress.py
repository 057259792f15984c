"""Progress of a long job: count, rate and remaining time."""

import time
from datetime import timedelta

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Count finished items and print a line from time to time.

    Args:
        total: number of items; 0: unknown.
        unit: the items' name, in the plural.
    """

    def __init__(self, total: float, unit: str) -> None:
        self.total = total
        self.unit = unit
        self._started = self._shown = time.perf_counter()
        self.restart(0)

    def restart(self, done: float) -> None:
        """Set the number of items that an earlier run finished; the rate counts from now."""
        self.done = self._before = done
        self._started = time.perf_counter()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    def add(self, count: float) -> str:
        """Add `count` finished items and return `done/total unit, rate, time left`."""
        self.done += count
        rate = (self.done - self._before) / max(self.elapsed_s, 1e-9)
        text = f"{self.unit}, {rate:.1f} {self.unit}/s"
        if not self.total:
            return f"{self.done:.0f} {text}"
        left_s = (self.total - self.done) / rate if rate else 0.0
        return f"{self.done:.0f}/{self.total:.0f} {text}, {duration(left_s)} left"

    def show(self, count: float, prefix: str = "") -> None:
        """Add `count` finished items, and print a line if the last one is some seconds old."""
        line = self.add(count)
        if time.perf_counter() - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = time.perf_counter()
            print(prefix + line, flush=True)


def quantity(count: int, singular: str, plural: str = "") -> str:
    """Return a number with its unit, such as `1 batch` or `2 batches`; the default plural appends an s."""
    return f"{count} {singular if count == 1 else plural or f'{singular}s'}"


def duration(seconds: float) -> str:
    """Return a duration as h:mm:ss, with days in front."""
    return str(timedelta(seconds=round(seconds)))
