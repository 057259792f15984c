"""The front end as a Cell: the numbers of the NumPy front end, for any length, in graph and PyNative mode."""

import mindspore as ms
import numpy as np
import pytest
import soundfile
from mindspore import Tensor

from mindvox.frontend.fbank import Fbank
from mindvox.frontend.fbank_cell import FbankCell
from mindvox.frontend.frames import subtract_mean
from mindvox.models.waveform_model import WaveformModel
from tests.frontend.reference.signals import CORPUS, synthetic_waveforms

BOUND_DB = 4e-3  # single precision, in bins far below a frame's strongest; measured on speech: 2.4e-3
MEAN_BOUND_DB = 1e-4


@pytest.fixture(scope="module")
def cell():
    """One graph for every size."""
    cell = FbankCell(Fbank())
    cell.set_inputs(Tensor(shape=[None, None], dtype=ms.float32))
    return cell


def difference(cell, waveform):
    return np.abs(cell(Tensor(waveform[None])).asnumpy()[0] - Fbank()(waveform))


@pytest.mark.parametrize("name", synthetic_waveforms())
def test_synthetic_waveforms_have_the_numbers_of_the_front_end(cell, name):
    found = difference(cell, synthetic_waveforms()[name].astype(np.float32))
    assert found.max() <= BOUND_DB and found.mean() <= MEAN_BOUND_DB


def test_real_speech_has_the_numbers_of_the_front_end(cell):
    paths = sorted(CORPUS.rglob("*.flac"))[::12]
    if not paths:
        pytest.skip(f"needs {CORPUS.name}, which is not part of the project")
    for path in paths:
        found = difference(cell, soundfile.read(path, dtype="float32")[0])
        assert found.max() <= BOUND_DB and found.mean() <= MEAN_BOUND_DB


@pytest.mark.parametrize("num_samples", [1, 159, 160, 399, 400, 1601])
def test_frames_are_one_more_than_whole_hops(cell, num_samples):
    assert cell(Tensor(np.ones((3, num_samples), np.float32))).shape == (3, 1 + num_samples // 160, 80)


def test_floor_is_under_the_loudest_of_each_waveform(cell):
    loud = synthetic_waveforms()["noise_16000"].astype(np.float32)
    loud = np.concatenate((loud, np.zeros_like(loud)))
    feats = cell(Tensor(np.stack((loud, 0.5 * loud)))).asnumpy()
    np.testing.assert_allclose(feats[0].min() - feats[1].min(), 20 * np.log10(2), atol=1e-3)
    np.testing.assert_allclose(feats.min(axis=(1, 2)), feats.max(axis=(1, 2)) - 80, atol=1e-4)


def test_silence_is_the_least_power_everywhere(cell):
    np.testing.assert_allclose(cell(Tensor(np.zeros((1, 1600), np.float32))).asnumpy(), -100, atol=1e-4)


def test_pynative_mode_other_sizes_and_the_mean():
    config = Fbank(n_mels=20, n_fft=512, win_length_ms=20, hop_length_ms=5, f_min=20, f_max=7600)
    waveform = synthetic_waveforms()["noise_16000"].astype(np.float32)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        centred = WaveformModel(config, ms.nn.Identity())(Tensor(waveform[None])).asnumpy()[0]
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(centred, subtract_mean(config(waveform)), atol=BOUND_DB)


def test_transform_is_that_of_numpy():
    config = Fbank(win_length_ms=20)
    frame = np.random.default_rng(0).standard_normal(400)
    window = np.pad(0.54 - 0.46 * np.cos(2 * np.pi * np.arange(320) / 320), 40)
    expected = np.fft.rfft(frame * window)
    real, imaginary = np.split(config.analysis() @ frame, 2)
    np.testing.assert_allclose(real, expected.real, atol=1e-12)
    np.testing.assert_allclose(imaginary, -expected.imag, atol=1e-12)
