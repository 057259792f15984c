"""Resample a recording block by block."""

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

HALF_TAPS = 10  # half length of resample_poly's filter, in periods of the lower rate
KAISER_BETA = 5.0  # of its window
MAX_FACTOR = 16000  # the rates of recorders need less; the filter has twenty times as many taps


def factors(from_rate: int, to_rate: int) -> tuple[int, int]:
    """Return the integers `up` and `down`, at most MAX_FACTOR, whose ratio changes the rate.

    The ratio is `to_rate / from_rate`. If that needs greater factors, as 16000 / 383987 does, it is the nearest ratio
    that does not: 666 / 15983. Pitch and length are then off by at most one part in 2 * MAX_FACTOR, as by a recorder's
    clock. Between rates up to MAX_FACTOR the ratio is always exact.

    Args:
        from_rate, to_rate: Hz, at least 1.
    """
    ratio = Fraction(min(from_rate, to_rate), max(from_rate, to_rate)).limit_denominator(MAX_FACTOR)
    low, high = ratio.numerator, ratio.denominator
    return (low, high) if to_rate < from_rate else (high, low)


def resampled_length(num_samples: int, from_rate: int, to_rate: int) -> int:
    """Return the number of samples that `resample_blocks` makes of `num_samples`, rounded up."""
    up, down = factors(from_rate, to_rate)
    return -(-num_samples * up // down)


def resample_blocks(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Yield, in pieces, exactly the output of scipy's `resample_poly`, with `factors`, for the joined blocks.

    Args:
        blocks: consecutive samples (N,), float32; only one block and the context of its edges are held in memory.
        from_rate, to_rate: Hz.
    """
    from scipy.signal import firwin, resample_poly  # imported here: it takes half a second, and is rarely needed

    up, down = factors(from_rate, to_rate)
    highest = max(up, down)
    # resample_poly's own filter, which it would design again for each block
    taps = firwin(2 * HALF_TAPS * highest + 1, 1 / highest, window=("kaiser", KAISER_BETA)).astype(np.float32)
    reach = HALF_TAPS * highest // up + 2  # input samples on either side that affect one output sample
    kept: np.ndarray = np.empty(0, np.float32)
    first = 0  # index of kept[0] among all samples; a multiple of `down`, so that an output sample falls on it
    num_done = 0
    for block in blocks:
        num_ready = (first + len(kept) - reach) * up // down  # output samples that later input does not change
        if num_ready > num_done:
            results = resample_poly(kept, up, down, window=taps)
            yield results[num_done - first // down * up : num_ready - first // down * up]
            num_done = num_ready
            next_first = max(first, (num_done * down // up - reach) // down * down)
            kept, first = kept[next_first - first :], next_first
        kept = np.concatenate([kept, block]) if len(kept) else block
    if len(kept):
        yield resample_poly(kept, up, down, window=taps)[num_done - first // down * up :]
