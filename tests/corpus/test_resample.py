"""Resampling in blocks: the numbers of resample_poly over the whole, for block sizes above and below its reach."""

import numpy as np
import pytest
from scipy.signal import resample_poly

from mindvox.corpus.resample import MAX_FACTOR, factors, resample_blocks, resampled_length


@pytest.mark.parametrize("block", [1, 997, 16001, 100000])
@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 15999])
def test_blocks_give_the_samples_of_the_whole_bit_for_bit(rate, block):
    num_samples = min(40 * block, 40000)
    waveform = np.random.default_rng(0).standard_normal(num_samples).astype(np.float32)
    blocks = [waveform[first : first + block] for first in range(0, num_samples, block)]
    got = np.concatenate([*resample_blocks(blocks, rate, 16000)])
    divisor = np.gcd(rate, 16000)
    np.testing.assert_array_equal(got, resample_poly(waveform, 16000 // divisor, rate // divisor))


@pytest.mark.parametrize(
    ("from_rate", "to_rate", "expected"),
    [
        (44100, 16000, (160, 441)),
        (8000, 16000, (2, 1)),
        (11127, 16000, (16000, 11127)),  # an old Macintosh's
        (22255, 16000, (3200, 4451)),
        (15999, 16000, (16000, 15999)),
        (384001, 16000, (1, 24)),
        (383987, 16000, (666, 15983)),
        (16000, 383987, (15983, 666)),
    ],
)
def test_factors_are_exact_or_the_nearest_that_are_not_too_great(from_rate, to_rate, expected):
    assert factors(from_rate, to_rate) == expected


def test_no_rate_is_off_by_more_than_one_part_in_twice_the_greatest_factor():
    rates = [*range(2000, 768001, 251), 32001, 48001, 96003, 127996]
    found = [factors(rate, 16000) for rate in rates]
    assert max(map(max, found)) <= MAX_FACTOR
    errors = [abs(up * rate / down / 16000 - 1) for rate, (up, down) in zip(rates, found, strict=True)]
    assert max(errors) <= 1.0001 / (2 * MAX_FACTOR) and max(errors) > 3.1e-5
    assert all(error < 1e-12 for rate, error in zip(rates, errors, strict=True) if rate <= MAX_FACTOR)


def test_a_tone_of_an_odd_rate_keeps_its_pitch():
    rate = 383987
    tone = np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate).astype(np.float32)
    got = np.concatenate([*resample_blocks(np.array_split(tone, 7), rate, 16000)])
    assert len(got) == resampled_length(len(tone), rate, 16000) == 8001
    up, down = factors(rate, 16000)
    expected = np.sin(2 * np.pi * 440 * np.arange(8001) * down / up / rate)  # 440 Hz but for 29 parts in a million
    np.testing.assert_allclose(got[500:-500], expected[500:-500], atol=2e-3)  # the filter's ripple


def test_no_samples_give_none():
    assert list(resample_blocks([], 8000, 16000)) == []
