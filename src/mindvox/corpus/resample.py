"""Resample a recording block by block."""

from collections.abc import Iterable, Iterator
from math import gcd

import numpy as np

HALF_TAPS = 10  # half length of resample_poly's filter, in periods of the lower rate


def resample_blocks(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Yield, in pieces, exactly the output of scipy's `resample_poly` for the joined blocks.

    Args:
        blocks: consecutive samples (N,); only one block and the context of its edges are held in memory.
        from_rate, to_rate: Hz.
    """
    from scipy.signal import resample_poly  # imported here: it takes half a second, and is rarely needed

    divisor = gcd(from_rate, to_rate)
    up, down = to_rate // divisor, from_rate // divisor
    reach = HALF_TAPS * max(up, down) // up + 2  # input samples on either side that affect one output sample
    kept: np.ndarray = np.empty(0, np.float32)
    first = 0  # index of kept[0] among all samples; a multiple of `down`, so that an output sample falls on it
    num_done = 0
    for block in blocks:
        num_ready = (first + len(kept) - reach) * up // down  # output samples that later input does not change
        if num_ready > num_done:
            yield resample_poly(kept, up, down)[num_done - first // down * up : num_ready - first // down * up]
            num_done = num_ready
            next_first = max(first, (num_done * down // up - reach) // down * down)
            kept, first = kept[next_first - first :], next_first
        kept = np.concatenate([kept, block]) if len(kept) else block
    if len(kept):
        yield resample_poly(kept, up, down)[num_done - first // down * up :]
