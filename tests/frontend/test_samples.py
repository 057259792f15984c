"""Samples as features: as they are, or divided by their peak."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindvox.frontend.samples import Samples
from mindvox.models.waveform_model import WaveformModel
from tests.deploy.toy import without_compiling

WAVEFORMS = np.array([[0.25, -0.5, 0.125, 0.0], [0.0, 0.0, 0.0, 0.0]], np.float32)


@pytest.mark.parametrize(
    ("peak", "expected"), [(True, [[0.5, -1.0, 0.25, 0.0], [0.0] * 4]), (False, WAVEFORMS.tolist())]
)
def test_the_model_sees_samples_as_they_are_or_divided_by_their_peak(peak, expected):
    front_end = Samples(peak=peak)
    feats = front_end.finish(np.stack([front_end(waveform) for waveform in WAVEFORMS]))
    assert feats.dtype == np.float32 and feats.shape == (2, 4, 1)
    np.testing.assert_array_equal(feats[:, :, 0], expected)
    with without_compiling():
        found = WaveformModel(front_end, ms.nn.Identity())(Tensor(WAVEFORMS)).asnumpy()
    np.testing.assert_array_equal(found, feats)


def test_the_peak_is_that_of_the_crop():
    front_end = Samples()
    feats = front_end(WAVEFORMS[0])
    np.testing.assert_array_equal(front_end.finish(feats[2:]), [[1.0], [0.0]])


@pytest.mark.parametrize("wrong", [np.zeros((2, 3), np.float32), np.zeros(3, np.int16), np.zeros(0, np.float32)])
def test_what_is_no_waveform_is_refused(wrong):
    with pytest.raises(ValueError, match="expected floating samples"):
        Samples()(wrong)
