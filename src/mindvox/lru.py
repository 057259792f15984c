"""A cache of arrays with bounded memory."""

from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np


class ArrayCache:
    """Keep the most recently used arrays.

    Args:
        max_bytes: greatest total size; the newest array is kept whatever its size.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._arrays: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._num_bytes = 0

    def get(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the array of a key; make it if it is not cached."""
        array = self._arrays.pop(key, None)
        if array is None:
            array = make()
            self._num_bytes += array.nbytes
        self._arrays[key] = array  # now the most recent
        while self._num_bytes > self.max_bytes and len(self._arrays) > 1:
            self._num_bytes -= self._arrays.popitem(last=False)[1].nbytes
        return array
