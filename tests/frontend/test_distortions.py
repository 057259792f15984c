"""Distortions: SpeechBrain's numbers for the same drawn parameters, and what each does to a waveform."""

import json
from pathlib import Path

import numpy as np
import pytest

from mindvox.frontend import distortions
from tests.frontend.reference.distortion_cases import CASES, MASKS, features, speech

FOLDER = Path(__file__).parent / "reference"
RATE = 16000


@pytest.fixture(scope="module")
def reference():
    with np.load(FOLDER / "distortions_reference.npz") as arrays:
        return dict(arrays)


def tone(frequency: float, num_samples: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(num_samples) / RATE).astype(np.float32)


def level(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(waveform[200:-200]))))


@pytest.mark.parametrize("name", CASES)
def test_distortion_has_speechbrains_numbers(name, reference):
    function, arguments = CASES[name]
    if function == "reverberate":
        arguments = (distortions.room_spectrum(arguments[0], len(speech())),)
    result = getattr(distortions, function)(speech(), *arguments)
    assert result.dtype == np.float32 and result.shape == reference[name].shape
    # Both compute in single precision and sum in another order; torchaudio also rounds the phases of its filters.
    np.testing.assert_allclose(result, reference[name], rtol=0, atol=5e-6 * np.abs(reference[name]).max())


def test_masks_have_speechbrains_numbers(reference):
    np.testing.assert_array_equal(distortions.mask_features(features(), **MASKS), reference["masks"])


def test_reference_is_of_the_stated_version():
    assert json.loads((FOLDER / "distortions_reference.json").read_text())["versions"]["speechbrain"] == "1.1.2"


def test_snr_of_the_mixture_is_the_given_one():
    clean, noise = speech(), 3 * np.roll(speech(), 2000)
    mixed = distortions.add_noise(clean, noise, 6.0)
    share = 1 / (10 ** (6 / 20) + 1)
    left = mixed - np.float32(1 - share) * clean
    energies = [float(np.sum(np.square(part, dtype=np.float64))) for part in ((1 - share) * clean, left)]
    assert 10 * np.log10(energies[0] / energies[1]) == pytest.approx(6.0, abs=1e-3)


def test_room_of_one_sample_changes_nothing():
    impulse = np.zeros(100, np.float32)
    impulse[7] = 0.3
    wet = distortions.reverberate(speech(), distortions.room_spectrum(impulse, len(speech())))
    np.testing.assert_allclose(wet, speech(), atol=1e-6)


@pytest.mark.parametrize("percent", [90, 95, 105, 110])
def test_speed_moves_a_tone_and_the_length(percent):
    changed = distortions.change_speed(tone(1000), percent)
    assert len(changed) == -(-RATE * 100 // percent)
    middle = changed[500:-500] * np.hanning(len(changed) - 1000)
    peak = np.argmax(np.abs(np.fft.rfft(middle, 8 * RATE))) / 8
    assert peak == pytest.approx(10 * percent, abs=0.5)


@pytest.mark.parametrize("percent", [50, 90, 95, 97, 100, 105, 110, 200])
@pytest.mark.parametrize("num_samples", [1, 2, 48000, 48001])
def test_source_of_a_speed_is_just_long_enough(percent, num_samples):
    source = distortions.speed_source_length(num_samples, percent)
    assert len(distortions.change_speed(np.ones(source, np.float32), percent)) >= num_samples
    if source > 1:
        assert len(distortions.change_speed(np.ones(source - 1, np.float32), percent)) < num_samples


def test_dropped_band_is_gone_and_others_stay():
    kept, gone = tone(6000), tone(1600)  # SpeechBrain's filter stands at 3 / pi times the frequency plus half its width
    filtered = distortions.drop_frequencies(kept + gone, [0.16])
    assert level(filtered) == pytest.approx(level(kept), rel=0.05)


def test_no_frequency_and_no_chunk_change_nothing():
    np.testing.assert_array_equal(distortions.drop_frequencies(speech(), []), speech())
    np.testing.assert_array_equal(distortions.drop_chunks(speech(), [], []), speech())


def test_chunks_are_silent_and_the_rest_is_as_it_was():
    dropped = distortions.drop_chunks(speech(), [10, 4000], [5, 100])
    silent = np.r_[10:15, 4000:4100]
    assert not dropped[silent].any()
    np.testing.assert_array_equal(np.delete(dropped, silent), np.delete(speech(), silent))


def test_distortions_leave_their_input_alone():
    waveform, feats = speech(), features()
    for function, arguments in CASES.values():
        if function != "reverberate":
            getattr(distortions, function)(waveform, *arguments)
    distortions.mask_features(feats, **MASKS)
    np.testing.assert_array_equal(waveform, speech())
    np.testing.assert_array_equal(feats, features())


def test_silence_stays_finite():
    silence = np.zeros(800, np.float32)
    results = [
        distortions.add_noise(silence, speech()[:800], 5.0),
        distortions.reverberate(silence, distortions.room_spectrum(speech()[:300], 800)),
        distortions.set_peak(silence, 0.7),
        distortions.clip_peaks(silence, 0.5),
    ]
    for result in results:
        assert np.isfinite(result).all() and not result.any()


def test_overdriven_speech_keeps_its_peak_and_loses_its_tops():
    waveform = speech()
    clipped = distortions.clip_peaks(waveform, 0.25)
    peak = np.abs(waveform).max()
    assert np.abs(clipped).max() == pytest.approx(peak, rel=1e-5)
    assert np.mean(np.abs(clipped) > 0.999 * peak) > 0.01
