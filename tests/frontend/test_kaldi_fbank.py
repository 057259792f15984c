"""Kaldi's filterbanks: numbers of Kaldi, torchaudio and the toolkits that use them, shapes, dither, bounds."""

import json
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.frontend.kaldi_fbank import KaldiFbank
from tests.frontend.reference.kaldi_cases import CASES, WAVEFORMS
from tests.frontend.reference.signals import CORPUS, stored_frames, synthetic_waveforms

SYNTHETIC = synthetic_waveforms()
VECTORS = CORPUS.parents[1] / "reference" / "vectors"
WESPEAKER = {"window": "hamming", "waveform_scale": 32768.0}
VECTOR_CASES = {"front_3d_fbank80": {}, "front_mv_fbank80_meannorm": {}, "front_ws_fbank80": WESPEAKER}


@pytest.fixture(scope="module")
def reference():
    with np.load(Path(__file__).parent / "reference" / "kaldi_fbank_reference.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", WAVEFORMS)
@pytest.mark.parametrize("case", CASES)
def test_synthetic_waveforms_have_kaldis_numbers(case, name, dtype, reference):
    feats = KaldiFbank(dtype, **CASES[case])(SYNTHETIC[name])
    found = np.abs(feats[stored_frames(name, len(feats))] - reference[f"{case}/{name}"])
    # Kaldi computes in single precision: the rest is its rounding, which is large far below a chirp's strongest bin.
    assert found.max() < (4e-3 if name == "chirp" else 6e-4)
    assert found.mean() < 1e-4


@pytest.mark.parametrize("name", VECTOR_CASES)
def test_real_speech_has_the_numbers_of_other_toolkits(name):
    path = VECTORS / f"{name}.npz"
    if not path.exists():
        pytest.skip("needs the reference vectors, which are not part of the project")
    front_end = KaldiFbank(**VECTOR_CASES[name])
    with np.load(path) as case:
        meta = json.loads(str(case["meta"]))
        for index, utterance in enumerate(meta["utterances"]):
            feats = front_end(soundfile.read(CORPUS / utterance, dtype="float32")[0])
            feats = front_end.finish(feats) if name.endswith("meannorm") else feats
            # The toolkits' mel matrix is in single precision.
            np.testing.assert_allclose(feats, case[f"y{index}"], rtol=0, atol=10 * meta["float32_max_abs_dev"])


@pytest.mark.parametrize(("num_samples", "num_frames"), [(399, 0), (400, 1), (559, 1), (560, 2), (48000, 298)])
def test_frames_lie_wholly_inside_the_waveform(num_samples, num_frames):
    front_end = KaldiFbank()
    assert front_end.num_frames(num_samples) == num_frames
    if num_frames:
        assert front_end(SYNTHETIC["noise_48000"][:num_samples]).shape == (num_frames, 80)
        assert front_end.num_samples(num_frames) <= num_samples < front_end.num_samples(num_frames + 1)


def test_silence_is_the_floor_everywhere():
    np.testing.assert_allclose(KaldiFbank()(np.zeros(1600, np.float32)), np.log(2.0**-23), rtol=1e-6)


def test_a_constant_offset_of_the_waveform_does_not_matter():
    waveform = SYNTHETIC["noise_16000"].astype(np.float64)
    np.testing.assert_allclose(KaldiFbank()(waveform + 0.5), KaldiFbank()(waveform), atol=1e-4)


def test_long_waveforms_are_transformed_block_by_block_to_the_same_values(monkeypatch):
    waveform = SYNTHETIC["noise_48001"]
    whole = KaldiFbank()(waveform)
    monkeypatch.setattr("mindvox.frontend.filterbank.BLOCK_FRAMES", 7)
    np.testing.assert_allclose(KaldiFbank()(waveform), whole, rtol=0, atol=1e-5)


def test_memory_is_that_of_the_features_and_a_few_blocks():
    waveform = np.tile(SYNTHETIC["noise_48000"], 100)  # 5 minutes
    front_end = KaldiFbank()
    tracemalloc.start()
    try:
        feats = front_end(waveform)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < feats.nbytes + (1 << 23)


def test_dither_is_drawn_from_the_generator_that_is_given():
    front_end, waveform = KaldiFbank(dither=1.0, **WESPEAKER), SYNTHETIC["noise_16000"]
    drawn = [front_end(waveform, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.abs(drawn[0] - drawn[2]).max() > 1e-4
    np.testing.assert_array_equal(front_end(waveform), KaldiFbank(**WESPEAKER)(waveform))


def test_dither_of_silence_has_its_deviation():
    # Of white noise of variance 1, the expected power at each frequency is the energy of what a frame is multiplied by.
    front_end = KaldiFbank(dither=1.0, **WESPEAKER)
    feats = front_end(np.zeros(160000, np.float32), np.random.default_rng(0))
    cosines, sines = np.split(front_end.analysis() / 32768, 2)
    expected = (cosines**2 + sines**2).sum(axis=1) @ front_end.filters()[: len(cosines)]
    np.testing.assert_allclose(np.exp(feats.astype(np.float64)).mean(axis=0), expected, rtol=0.15)


def test_analysis_is_what_happens_to_a_frame_before_its_power():
    front_end = KaldiFbank(**WESPEAKER)
    frame = SYNTHETIC["noise_400"].astype(np.float64)
    cosines, sines = np.split(front_end.analysis() @ frame, 2)
    power = cosines**2 + sines**2
    expected = np.log(np.maximum(power @ front_end.filters()[: len(power)], 2.0**-23))
    np.testing.assert_allclose(front_end(frame)[0], expected, rtol=0, atol=1e-5)


def test_mean_is_kept_where_it_is_asked_for():
    feats = np.random.default_rng(0).standard_normal((5, 80)).astype(np.float32)
    np.testing.assert_array_equal(KaldiFbank(subtract_mean=False).finish(feats), feats)
    np.testing.assert_allclose(KaldiFbank().finish(feats).mean(axis=0), 0, atol=1e-6)


def test_copies_are_equal_and_give_the_same_features():
    front_end = KaldiFbank(np.float32, n_mels=40)
    copy = pickle.loads(pickle.dumps(front_end))
    assert copy == front_end and hash(copy) == hash(front_end) and copy != KaldiFbank(n_mels=40)
    np.testing.assert_array_equal(copy(SYNTHETIC["noise_16000"]), front_end(SYNTHETIC["noise_16000"]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_mels": 0},
        {"f_max": 9000.0},
        {"f_min": 8000.0},
        {"window": "hann"},
        {"waveform_scale": 2.0},
        {"preemphasis": 1.0},
        {"dither": -1.0},
        {"win_length_ms": 0.1},
        {"hop_length_ms": 0.01},
    ],
)
def test_impossible_front_ends_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}|f_max"):
        KaldiFbank(**wrong)


@pytest.mark.parametrize(
    "waveform",
    [np.zeros(399, np.float32), np.zeros((2, 400), np.float32), np.zeros(400, np.int16)],
    ids=["too short", "two channels", "integers"],
)
def test_wrong_waveforms_are_refused(waveform):
    with pytest.raises(ValueError, match=r"expected floating samples \(N,\), N >= 400"):
        KaldiFbank()(waveform)
