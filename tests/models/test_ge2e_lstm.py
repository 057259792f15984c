"""Resemblyzer's encoder: its windows and features here, its real weights in tests/e2e/test_resemblyzer.py.

The network at a toy size: tests/models/test_networks.py.
"""

import json

import numpy as np
import pytest
from mindspore import Tensor

from mindvox.deploy.toolkits.resemblyzer import TOOLKIT
from mindvox.frontend import front_end_of
from mindvox.models import create_model, windows_of
from mindvox.models.ge2e_lstm import COVERAGE, Ge2eLstm
from tests.deploy.toy import without_compiling
from tests.vectors import load_vector
from tests.vectors.resemblyzer import utterances

SETTINGS = {"name": "ge2e_lstm", "in_channels": 40}
FRONT_END = front_end_of(TOOLKIT.front_end(SETTINGS))
NUM_ZEROS = 320  # samples, that the front end puts behind a recording
RATE = 1.3  # windows a second, Resemblyzer's default


def test_windows_begin_where_resemblyzers_partials_do():
    arrays, _ = load_vector("resemblyzer")
    windows = windows_of(SETTINGS)
    cases = [case for case in json.loads(str(arrays["slices"])) if case[1:3] == [RATE, COVERAGE]]
    assert len(cases) == 8
    for num_samples, _, _, starts in cases:
        assert windows.starts(FRONT_END.num_frames(num_samples + NUM_ZEROS)) == starts, num_samples


@pytest.mark.parametrize(("num_samples", "num_windows"), [(43839, 2), (43840, 3)])
def test_last_window_is_left_out_below_three_quarters_of_recording(num_samples, num_windows):
    # The third window begins at frame 154, sample 24640; three quarters of it are 19200 samples.
    starts = windows_of(SETTINGS).starts(FRONT_END.num_frames(num_samples + NUM_ZEROS))
    assert starts == [0, 77, 154][:num_windows]


def test_features_of_real_recordings_are_resemblyzers():
    pytest.importorskip("webrtcvad", reason="needs the extra webrtc")
    windows = windows_of(SETTINGS)
    for utterance in utterances():
        feats = FRONT_END(FRONT_END.prepare(utterance.waveform()))
        starts = windows.starts(len(feats))
        assert starts == utterance["mel_starts"].tolist()
        for start in starts:
            expected = utterance["mel"][start : start + 160]
            # What follows the Fourier transform is single precision: half a unit of the last digit, added up.
            np.testing.assert_allclose(windows.cut(feats, start), expected, atol=5e-6, rtol=1e-6)


def test_embedding_has_length_one_where_an_output_is_not_zero():
    model = create_model({"name": "ge2e_lstm", "in_channels": 5, "hidden_size": 4, "num_layers": 1, "emb_size": 3})
    model.set_train(False)
    with without_compiling():
        embedding = model(Tensor(np.random.default_rng(0).standard_normal((6, 4, 5)).astype(np.float32))).asnumpy()
        assert (embedding >= 0).all()
        np.testing.assert_allclose(np.linalg.norm(embedding, axis=1)[embedding.any(axis=1)], 1, atol=1e-6)
        model.linear.bias.set_data(Tensor(np.full(3, -9, np.float32)))
        assert not model(Tensor(np.zeros((1, 2, 5), np.float32))).asnumpy().any()  # no NaN


def test_step_beyond_a_window_is_refused():
    with pytest.raises(ValueError, match="window_step: expected at most window_frames, 20, got 21"):
        Ge2eLstm(window_frames=20, window_step=21)
