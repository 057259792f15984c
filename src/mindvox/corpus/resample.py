"""Changing the sampling rate of a recording that is read in blocks."""

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

HALF_TAPS = 10  # of resample_poly's filter on either side, in periods of the lower of both rates
KAISER_BETA = 5.0  # of its window
MAX_FACTOR = 16000  # rates that people record at need less; the filter has twenty times as many taps


def factors(from_rate: int, to_rate: int) -> tuple[int, int]:
    """Return the whole numbers `up` and `down` by whose ratio the rate is changed, at most MAX_FACTOR.

    The ratio is `to_rate / from_rate`, or where that has greater factors, such as 16000 / 383987, the nearest that has
    not: 666 / 15983. Pitch and length are then off by at most one part in 2 * MAX_FACTOR, as by a recorder's clock.
    Between rates up to MAX_FACTOR it is always exact.

    Args:
        from_rate, to_rate: Hz, at least 1.
    """
    ratio = Fraction(min(from_rate, to_rate), max(from_rate, to_rate)).limit_denominator(MAX_FACTOR)
    low, high = ratio.numerator, ratio.denominator
    return (low, high) if to_rate < from_rate else (high, low)


def resampled_length(num_samples: int, from_rate: int, to_rate: int) -> int:
    """Return how many samples `resample_blocks` makes of so many, rounded up."""
    up, down = factors(from_rate, to_rate)
    return -(-num_samples * up // down)


def resample_blocks(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Yield what scipy's `resample_poly` makes of the joined blocks by `factors`, bit for bit, in pieces.

    Args:
        blocks: samples (N,), float32, one after the other; only one block and what its edges need are held.
        from_rate, to_rate: Hz.
    """
    from scipy.signal import firwin, resample_poly  # here: importing it takes half a second, and most do without

    up, down = factors(from_rate, to_rate)
    highest = max(up, down)
    # resample_poly's own filter, which it would design again for each block.
    taps = firwin(2 * HALF_TAPS * highest + 1, 1 / highest, window=("kaiser", KAISER_BETA)).astype(np.float32)
    reach = HALF_TAPS * highest // up + 2  # samples on either side that one of the results depends on
    kept: np.ndarray = np.empty(0, np.float32)
    first = 0  # of `kept` among all samples; a multiple of `down`, so that a result falls exactly on it
    num_done = 0
    for block in blocks:
        num_ready = (first + len(kept) - reach) * up // down  # results that no later sample changes
        if num_ready > num_done:
            results = resample_poly(kept, up, down, window=taps)
            yield results[num_done - first // down * up : num_ready - first // down * up]
            num_done = num_ready
            next_first = max(first, (num_done * down // up - reach) // down * down)
            kept, first = kept[next_first - first :], next_first
        kept = np.concatenate([kept, block]) if len(kept) else block
    if len(kept):
        yield resample_poly(kept, up, down, window=taps)[num_done - first // down * up :]
