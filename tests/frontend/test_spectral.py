"""Spectrograms, mel spectrograms and MFCC: the numbers of the toolkits that have them, edges, options."""

import numpy as np
import pytest
import soundfile

from mindvox.registry import FRONT_ENDS
from tests.frontend.reference.signals import CORPUS, synthetic_waveforms
from tests.frontend.reference.spectral_cases import CASES
from tests.vectors import load_vector

SYNTHETIC = synthetic_waveforms()
VECTORS = {
    "mv_melspectrogram": "mvector_mel",
    "mv_melspectrogram_meannorm": "mvector_mel",
    "mv_mfcc": "mvector_mfcc",
    "mv_spectrogram": "mvector_spectrogram",
    "vt_resnetse34l_mel40_log": "resnetse34l",
    "vt_resnetse34l_mel40_log_int16": "resnetse34l_int16",
    "vt_resnetse34l_mel40_nolog": "resnetse34l_nolog",
    "vt_resnetse34v2_mel64_log": "resnetse34v2",
    "vt_vggvox_mel40_log": "vggvox",
}


def front_end_of_case(case: str, dtype: type = np.float64):
    name, settings = CASES[case]
    return FRONT_ENDS.get(name)(dtype, **settings)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", VECTORS)
def test_real_speech_has_the_numbers_of_other_toolkits(name, dtype):
    arrays, meta = load_vector(f"front_{name}")
    if not CORPUS.is_dir():
        pytest.skip(f"needs {CORPUS.name}, which is not part of the project")
    front_end = front_end_of_case(VECTORS[name], dtype)
    bound = 10 * meta["float32_max_abs_dev"]  # the toolkits' mel matrices and windows are in single precision
    for index, utterance in enumerate(meta["utterances"]):
        feats = front_end(soundfile.read(CORPUS / utterance, dtype="float32")[0])
        expected = arrays[f"y{index}"]
        if name.startswith("vt"):
            np.testing.assert_allclose(feats, expected[0], rtol=0, atol=bound)
        if name.startswith("vt") or name.endswith("meannorm"):
            feats = front_end.finish(feats)
        np.testing.assert_allclose(feats, expected[-1] if name.startswith("vt") else expected, rtol=0, atol=bound)


def test_speech_has_resemblyzers_mels():
    """Of what Resemblyzer keeps of a recording; the vectors hold its gain and the windows of 30 ms that it keeps."""
    arrays, meta = load_vector("resemblyzer")
    if not CORPUS.is_dir():
        pytest.skip(f"needs {CORPUS.name}, which is not part of the project")
    front_end = front_end_of_case("resemblyzer")
    for index, utterance in enumerate(meta["utterances"]):
        waveform = soundfile.read(CORPUS / utterance, dtype="float64")[0] * arrays[f"u{index}_gain"]
        kept = arrays[f"u{index}_vad_kept"].astype(bool)
        waveform = waveform[: len(kept) * 480].reshape(-1, 480)[kept].ravel()
        _, num_kept, num_padded = arrays[f"u{index}_length"]
        assert len(waveform) == num_kept
        feats = front_end(np.pad(waveform, (0, int(num_padded - num_kept))))
        np.testing.assert_allclose(feats, arrays[f"u{index}_mel"], rtol=1e-6, atol=5e-6)  # ours is single precision
