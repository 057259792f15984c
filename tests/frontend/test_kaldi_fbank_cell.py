"""Kaldi's filterbanks as a Cell: the numbers of the NumPy front end, in both forms, for any length."""

import mindspore as ms
import numpy as np
import pytest
import soundfile
from mindspore import Tensor

from mindvox.frontend.kaldi_fbank import KaldiFbank
from mindvox.models.waveform_model import WaveformModel
from tests.frontend.reference.signals import CORPUS, synthetic_waveforms

# Ten times what PyTorch's single precision is off in the reference vectors; means over frames are far closer.
CASES = {"povey": ({}, 2.4e-3), "hamming": ({"window": "hamming", "waveform_scale": 32768.0}, 6e-4)}
MEAN_BOUND = 2e-5
NAMES = ("noise_400", "noise_559", "noise_16000", "half_silence", "square_100", "impulse", "silence")


@pytest.fixture(scope="module", params=[(case, form) for case in CASES for form in ("product", "native")], ids=str)
def case(request):
    """A front end, its Cell with one graph for every size, and the bound."""
    settings, bound = CASES[request.param[0]]
    front_end = KaldiFbank(**settings)
    cell = front_end.cell(request.param[1])
    cell.set_inputs(Tensor(shape=[None, None], dtype=ms.float32))
    return front_end, cell, bound


def test_synthetic_waveforms_have_the_numbers_of_the_front_end(case):
    front_end, cell, bound = case
    for name in NAMES:
        waveform = synthetic_waveforms()[name].astype(np.float32)
        feats = cell(Tensor(waveform[None])).asnumpy()[0]
        assert feats.shape == (front_end.num_frames(len(waveform)), 80)
        found = np.abs(feats - front_end(waveform))
        assert found.max() <= bound and found.mean() <= MEAN_BOUND, name


def test_real_speech_has_the_numbers_of_the_front_end(case):
    front_end, cell, bound = case
    paths = sorted(CORPUS.rglob("*.flac"))[::48]
    if not paths:
        pytest.skip(f"needs {CORPUS.name}, which is not part of the project")
    for path in paths:
        waveform = soundfile.read(path, dtype="float32")[0]
        found = np.abs(cell(Tensor(waveform[None])).asnumpy()[0] - front_end(waveform))
        assert found.max() <= bound and found.mean() <= MEAN_BOUND, path


def test_waveforms_of_a_batch_do_not_touch(case):
    front_end, cell, bound = case
    batch = np.stack([synthetic_waveforms()["noise_16000"], np.zeros(16000)]).astype(np.float32)
    feats = cell(Tensor(batch)).asnumpy()
    assert np.abs(feats[0] - front_end(batch[0])).max() <= bound
    np.testing.assert_allclose(feats[1], np.log(2.0**-23), atol=1e-5)


@pytest.mark.parametrize("subtract_mean", [True, False])
def test_model_behind_it_gets_finished_features_in_pynative_mode(subtract_mean):
    front_end = KaldiFbank(n_mels=20, win_length_ms=20.0, hop_length_ms=5.0, subtract_mean=subtract_mean)
    waveform = synthetic_waveforms()["noise_16000"].astype(np.float32)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        feats = WaveformModel(front_end, ms.nn.Identity())(Tensor(waveform[None])).asnumpy()[0]
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(feats, front_end.finish(front_end(waveform)), rtol=0, atol=2.4e-3)
