"""Resampling in blocks: the numbers of resample_poly over the whole, for block sizes above and below its reach."""

import numpy as np
import pytest
from scipy.signal import resample_poly

from mindvox.corpus.resample import resample_blocks


@pytest.mark.parametrize("block", [1, 997, 16001, 100000])
@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 15999])
def test_blocks_give_the_samples_of_the_whole_bit_for_bit(rate, block):
    num_samples = min(40 * block, 40000)
    waveform = np.random.default_rng(0).standard_normal(num_samples).astype(np.float32)
    blocks = [waveform[first : first + block] for first in range(0, num_samples, block)]
    got = np.concatenate([*resample_blocks(blocks, rate, 16000)])
    divisor = np.gcd(rate, 16000)
    np.testing.assert_array_equal(got, resample_poly(waveform, 16000 // divisor, rate // divisor))


def test_no_samples_give_none():
    assert list(resample_blocks([], 8000, 16000)) == []
