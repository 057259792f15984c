"""Spectrograms, mel spectrograms and MFCC as a Cell: the numbers of the NumPy front ends in both forms."""

import numpy as np
import pytest
import soundfile
from mindspore import Tensor, nn

from mindvox.models.waveform_model import WaveformModel
from tests.deploy.toy import without_compiling
from tests.frontend.reference.signals import CORPUS, synthetic_waveforms
from tests.frontend.reference.spectral_cases import CASES, WAVEFORMS
from tests.frontend.toolkits import VECTORS, front_end_of_case
from tests.vectors import load_vector

LONGEST = 4000  # samples: the native form takes a second for each of speech
SYNTHETIC = {name: waveform[-LONGEST:] for name, waveform in synthetic_waveforms().items()}
SYNTHETIC["half_silence"] = synthetic_waveforms()["half_silence"][10000 : 10000 + LONGEST]
SYNTHETIC["impulse"] = synthetic_waveforms()["impulse"][2500 : 2500 + LONGEST]

NATIVE = ("magnitude_db", "mvector_mfcc", "resemblyzer", "resnetse34v2")  # by default: between them every step


def features(front_end, waveforms, form):
    """Return the features of the Cell, and what a model behind it is given."""
    with without_compiling():
        batch = Tensor(np.stack(waveforms).astype(np.float32))
        cell, model = front_end.cell(form), WaveformModel(front_end, nn.Identity(), form)
        return cell(batch).asnumpy(), model(batch).asnumpy()


@pytest.mark.parametrize(
    ("case", "form"),
    [
        *((case, "product") for case in CASES),
        *(pytest.param(case, "native", marks=[] if case in NATIVE else pytest.mark.slow) for case in CASES),
    ],
)
def test_synthetic_waveforms_have_the_numbers_of_the_front_end(case, form):
    front_end = front_end_of_case(case)
    names = [name for name in (*WAVEFORMS, "impulse", "silence") if name != "noise_400"]
    for batch in ([SYNTHETIC["noise_400"]], [SYNTHETIC[name] for name in names]):
        feats, finished = features(front_end, batch, form)
        for row, waveform in enumerate(batch):
            expected = front_end(waveform.astype(np.float32))
            scale = max(10, np.abs(expected).max())  # what single precision is off is measured by the greatest value
            assert feats[row].shape == expected.shape
            found = np.abs(feats[row] - expected)
            assert found.max() <= 2e-5 * scale and found.mean() <= 1e-6 * scale
            expected = front_end.finish(expected)
            if waveform.any():  # of silence, nothing but rounding remains when a mean is subtracted
                scale = max(10, np.abs(expected).max())
            np.testing.assert_allclose(finished[row], expected, rtol=0, atol=2e-5 * scale)


@pytest.mark.parametrize("name", VECTORS)
def test_real_speech_has_the_numbers_of_other_toolkits(name):
    arrays, meta = load_vector(f"front_{name}")
    if not CORPUS.is_dir():
        pytest.skip(f"needs {CORPUS.name}, which is not part of the project")
    front_end = front_end_of_case(VECTORS[name])
    for index, utterance in enumerate(meta["utterances"]):
        feats, finished = features(front_end, [soundfile.read(CORPUS / utterance, dtype="float32")[0]], "product")
        expected = arrays[f"y{index}"]
        pairs = [(finished[0] if name.endswith("meannorm") else feats[0], expected)]
        if name.startswith("vt"):
            pairs = [(feats[0], expected[0]), (finished[0], expected[1])]
        for found, wanted in pairs:
            np.testing.assert_allclose(found, wanted, rtol=0, atol=10 * meta["float32_max_abs_dev"])


@pytest.mark.parametrize("case", ["mvector_mfcc", "resnetse34v2"])
def test_utterances_of_a_batch_do_not_depend_on_each_other(case):
    """torchaudio's MFCC is limited below the greatest value of the batch."""
    front_end = front_end_of_case(case)
    loud, quiet = SYNTHETIC["noise_16000"], 1e-4 * SYNTHETIC["noise_48000"]
    feats, _ = features(front_end, [loud, quiet], "product")
    for found, waveform in zip(feats, (loud, quiet), strict=True):
        expected = front_end(waveform)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * max(10, np.abs(expected).max()))


def test_instance_norm_of_a_bin_that_hardly_changes_keeps_its_digits():
    """Where the deviation is a ten-thousandth of the mean, the rounding of a mean in single precision counts."""
    front_end = front_end_of_case("resnetse34l")
    rng = np.random.default_rng(0)
    feats = (14 + 1e-3 * rng.standard_normal((1, 30000, 3))).astype(np.float32)

    class Front(nn.Cell):
        def construct(self, x):
            return x

    model = WaveformModel(front_end, nn.Identity())
    model.front_end = Front()
    with without_compiling():
        found = model(Tensor(feats)).asnumpy()
    np.testing.assert_allclose(found, front_end.finish(feats), rtol=0, atol=2e-6)
