"""Limit how often a caller may send requests."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

MOST_CALLERS = 10_000  # callers that are remembered; beyond this, the least recent one is forgotten


class RateLimiter:
    """A token bucket for each caller.

    Args:
        per_minute: requests per minute; 0: no limit.
        burst: requests that may arrive at once.
        clock: returns seconds; for tests.
    """

    def __init__(self, per_minute: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._clock = per_minute / 60, burst, clock
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # requests left, and at what time

    def wait_s(self, caller: Hashable) -> float:
        """Return how long in s a caller must wait before the next request."""
        if self._per_s == 0:
            return 0.0
        return max(0.0, (1 - self._level(caller)) / self._per_s)

    def count(self, caller: Hashable, number: int = 1) -> None:
        """Count a request as `number` requests."""
        if self._per_s == 0:
            return
        self._left[caller] = (self._level(caller) - number, self._clock())
        self._left.move_to_end(caller)
        if len(self._left) > MOST_CALLERS:
            self._left.popitem(last=False)

    def _level(self, caller: Hashable) -> float:
        left, at = self._left.get(caller, (float(self._burst), self._clock()))
        return min(float(self._burst), left + (self._clock() - at) * self._per_s)
