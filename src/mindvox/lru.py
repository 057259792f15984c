"""A cache of arrays that is bounded by what they take."""

from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np


class ArrayCache:
    """Keep the arrays used last.

    Args:
        max_bytes: greatest size of all together; the newest is kept whatever its size.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._arrays: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._num_bytes = 0

    def get(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the array of a key, made when it is not kept."""
        array = self._arrays.pop(key, None)
        if array is None:
            array = make()
            self._num_bytes += array.nbytes
        self._arrays[key] = array  # as the newest
        while self._num_bytes > self.max_bytes and len(self._arrays) > 1:
            self._num_bytes -= self._arrays.popitem(last=False)[1].nbytes
        return array
