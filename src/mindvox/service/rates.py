"""How often a caller may ask."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

MOST_CALLERS = 10_000  # that are remembered; beyond it the one that asked longest ago is forgotten


class RateLimiter:
    """A token bucket for each caller.

    Args:
        per_minute: requests; 0: any number.
        burst: requests that may come at once.
        clock: returns seconds; for tests.
    """

    def __init__(self, per_minute: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._clock = per_minute / 60, burst, clock
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # requests, at this time

    def wait_s(self, caller: Hashable) -> float:
        """Return how long a caller must wait before asking, s; 0: not at all."""
        if self._per_s == 0:
            return 0.0
        return max(0.0, (1 - self._level(caller)) / self._per_s)

    def count(self, caller: Hashable, number: int = 1) -> None:
        """Count a request as if it were `number` of them."""
        if self._per_s == 0:
            return
        self._left[caller] = (self._level(caller) - number, self._clock())
        self._left.move_to_end(caller)
        if len(self._left) > MOST_CALLERS:
            self._left.popitem(last=False)

    def _level(self, caller: Hashable) -> float:
        left, at = self._left.get(caller, (float(self._burst), self._clock()))
        return min(float(self._burst), left + (self._clock() - at) * self._per_s)
