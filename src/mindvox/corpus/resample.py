"""Changing the sampling rate of a recording that is read in blocks."""

from collections.abc import Iterable, Iterator
from math import gcd

import numpy as np

HALF_TAPS = 10  # of resample_poly's filter on either side, in periods of the lower of both rates


def resample_blocks(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Yield what scipy's `resample_poly` makes of the joined blocks, bit for bit, in pieces.

    Args:
        blocks: samples (N,) one after the other; only one block and what its edges need are held.
        from_rate, to_rate: Hz.
    """
    from scipy.signal import resample_poly  # here: importing it takes half a second, and most recordings do without

    divisor = gcd(from_rate, to_rate)
    up, down = to_rate // divisor, from_rate // divisor
    reach = HALF_TAPS * max(up, down) // up + 2  # samples on either side that one of the results depends on
    kept: np.ndarray = np.empty(0, np.float32)
    first = 0  # of `kept` among all samples; a multiple of `down`, so that a result falls exactly on it
    num_done = 0
    for block in blocks:
        num_ready = (first + len(kept) - reach) * up // down  # results that no later sample changes
        if num_ready > num_done:
            yield resample_poly(kept, up, down)[num_done - first // down * up : num_ready - first // down * up]
            num_done = num_ready
            next_first = max(first, (num_done * down // up - reach) // down * down)
            kept, first = kept[next_first - first :], next_first
        kept = np.concatenate([kept, block]) if len(kept) else block
    if len(kept):
        yield resample_poly(kept, up, down)[num_done - first // down * up :]
