"""The front end: numbers of SpeechBrain, shapes, the floor, cutting and centring."""

import hashlib
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.frontend.fbank import Fbank
from mindvox.frontend.frames import subtract_mean
from tests.frontend.reference.signals import CORPUS, stored_frames, synthetic_waveforms

FOLDER = Path(__file__).parent / "reference"
ABOUT = json.loads((FOLDER / "fbank_reference.json").read_text())
SYNTHETIC = synthetic_waveforms()


@pytest.fixture(scope="module")
def reference():
    with np.load(FOLDER / "fbank_reference.npz") as arrays:
        return dict(arrays)


def assert_parity(name: str, waveform: np.ndarray, reference: dict[str, np.ndarray]) -> None:
    raw = Fbank()(waveform)
    rows = stored_frames(name, len(raw))
    feats = subtract_mean(raw)[rows]
    # The algorithm is the same to the rounding of float32 (4e-6 near 80 dB) in what is stored.
    np.testing.assert_allclose(raw[rows], reference[f"raw/{name}"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(feats, reference[f"double/{name}"], rtol=0, atol=2e-5)
    # SpeechBrain computes in single precision: the rest is its own rounding, in bins far below the frame's strongest.
    np.testing.assert_allclose(feats, reference[f"single/{name}"], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_single_precision_is_as_exact_as_speechbrain(name, reference):
    raw = Fbank(dtype=np.float32)(SYNTHETIC[name])
    np.testing.assert_allclose(raw[stored_frames(name, len(raw))], reference[f"raw/{name}"], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_synthetic_waveforms_have_speechbrains_numbers(name, reference):
    assert_parity(name, SYNTHETIC[name], reference)


@pytest.mark.parametrize("name", ABOUT["speech_sha256"])
def test_real_speech_has_speechbrains_numbers(name, reference):
    path = CORPUS / name
    if not path.exists():
        pytest.skip(f"needs {CORPUS.name}, which is not part of the project")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == ABOUT["speech_sha256"][name]
    assert_parity(name, soundfile.read(path, dtype="float32")[0], reference)


def test_reference_holds_twenty_utterances_of_real_speech_of_different_lengths(reference):
    assert len(ABOUT["speech_sha256"]) >= 20
    assert {f"single/{name}" for name in [*SYNTHETIC, *ABOUT["speech_sha256"]]} <= set(reference)
    assert ABOUT["versions"]["speechbrain"] == "1.1.2"


@pytest.mark.parametrize("num_samples", [1, 159, 160, 399, 400, 401, 48000, 48001])
def test_frames_are_one_more_than_whole_hops(num_samples):
    front_end = Fbank()
    feats = front_end(np.ones(num_samples, np.float32))
    assert feats.shape == (1 + num_samples // 160, 80)
    assert feats.shape[0] == front_end.num_frames(num_samples)
    assert feats.dtype == np.float32


def test_silence_is_the_least_power_everywhere():
    np.testing.assert_array_equal(Fbank()(np.zeros(1600, np.float32)), np.full((11, 80), -100, np.float32))


def test_floor_is_80_db_below_the_greatest_value_of_the_whole_waveform():
    waveform = np.concatenate([SYNTHETIC["noise_16000"], np.zeros(16000, np.float32)])
    feats = Fbank()(waveform)
    assert feats.min() == pytest.approx(feats.max() - 80, abs=1e-5)
    assert np.all(feats[-50:] == feats.min())


def test_long_waveforms_are_transformed_block_by_block_to_the_same_values(monkeypatch):
    waveform = SYNTHETIC["noise_48001"]
    whole = Fbank()(waveform)
    monkeypatch.setattr("mindvox.frontend.filterbank.BLOCK_FRAMES", 7)
    np.testing.assert_allclose(Fbank()(waveform), whole, rtol=0, atol=1e-5)


def test_copies_and_threads_give_the_same_features():
    waveforms = [SYNTHETIC[name] for name in ("noise_48000", "sine", "half_silence", "noise_16000")] * 5
    for fbank in (Fbank(), Fbank(dtype=np.float32)):
        with ThreadPoolExecutor(4) as pool:
            copy = pickle.loads(pickle.dumps(fbank))
            for waveform, feats in zip(waveforms, pool.map(copy, waveforms), strict=True):
                np.testing.assert_array_equal(feats, fbank(waveform))


def test_double_and_single_waveforms_give_the_same_features():
    waveform = SYNTHETIC["noise_16000"]
    np.testing.assert_array_equal(Fbank()(waveform.astype(np.float64)), Fbank()(waveform))


def test_other_sizes_of_window_and_hop_are_possible():
    front_end = Fbank(n_mels=40, n_fft=512, win_length_ms=20, hop_length_ms=5, f_min=20, f_max=7600)
    assert front_end(SYNTHETIC["noise_16000"]).shape == (201, 40)


@pytest.mark.parametrize(
    "waveform",
    [np.zeros(0, np.float32), np.zeros((2, 400), np.float32), np.zeros(400, np.int16)],
    ids=["empty", "two channels", "integers"],
)
def test_wrong_waveforms_are_refused(waveform):
    with pytest.raises(ValueError, match="expected floating samples"):
        Fbank()(waveform)


@pytest.mark.parametrize("wrong", [{"n_mels": 0}, {"n_fft": 399}, {"n_fft": 256}, {"f_max": 9000}, {"top_db": 0}])
def test_impossible_front_ends_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        Fbank(**wrong)
