"""How far a long job is, how fast it goes, and how long it will take."""

import time
from datetime import timedelta

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Count finished items and print how it goes, now and then.

    Args:
        total: items to do; 0: unknown.
        unit: their plural.
    """

    def __init__(self, total: float, unit: str) -> None:
        self.total = total
        self.unit = unit
        self._started = self._shown = time.perf_counter()
        self.restart(0)

    def restart(self, done: float) -> None:
        """Say that so many were done before; the rate counts from now."""
        self.done = self._before = done
        self._started = time.perf_counter()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    def add(self, count: float) -> str:
        """Count `count` more and return `done/total unit, rate, time left`."""
        self.done += count
        rate = (self.done - self._before) / max(self.elapsed_s, 1e-9)
        text = f"{self.unit}, {rate:.1f} {self.unit}/s"
        if not self.total:
            return f"{self.done:.0f} {text}"
        left_s = (self.total - self.done) / rate if rate else 0.0
        return f"{self.done:.0f}/{self.total:.0f} {text}, {duration(left_s)} left"

    def show(self, count: float, prefix: str = "") -> None:
        """Count `count` more; print a line unless there was one a few seconds ago."""
        line = self.add(count)
        if time.perf_counter() - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = time.perf_counter()
            print(prefix + line, flush=True)


def quantity(count: int, singular: str, plural: str = "") -> str:
    """Return a number with its unit, such as `1 batch` and `2 batches`; the plural has an s unless given."""
    return f"{count} {singular if count == 1 else plural or f'{singular}s'}"


def duration(seconds: float) -> str:
    """Return hours, minutes and seconds as h:mm:ss, days in front."""
    return str(timedelta(seconds=round(seconds)))
