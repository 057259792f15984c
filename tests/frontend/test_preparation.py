"""What is done to a whole recording before it is embedded, by hand and against Resemblyzer's numbers."""

import sys

import numpy as np
import pytest

from mindvox.corpus.decoders import BadAudio
from mindvox.errors import InputError
from mindvox.frontend import preparation
from mindvox.frontend.preparation import (
    PreparationOptions,
    dilated,
    is_speech,
    only_speech,
    prepared,
    raise_level,
    smoothed,
)
from tests.detector import LoudIsSpeech
from tests.vectors.resemblyzer import utterances

WINDOW = 480  # samples


@pytest.fixture
def plain_detector(monkeypatch):
    monkeypatch.setattr(preparation, "_detector", LoudIsSpeech)


def flags(text: str) -> np.ndarray:
    return np.array([letter == "1" for letter in text])


def shown(values: np.ndarray) -> str:
    return "".join("01"[int(value)] for value in values)


def waveform_of(text: str) -> np.ndarray:
    """Return a window of one value for each letter: loud for 1, else soft; no two windows are equal."""
    return np.concatenate([np.full(WINDOW, 0.9 if letter == "1" else 0.001 * i) for i, letter in enumerate(text)])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0000000000", "0000000000"),
        ("1111000000", "0000000000"),  # four of eight are not more than half
        ("1111100000", "1111000000"),  # window i decides with those from i - 3 to i + 4
        ("0000011111", "0000011110"),
        ("11111111", "11111110"),
        ("1", "0"),
    ],
)
def test_window_is_smoothed_with_three_before_and_four_behind(given, expected):
    assert shown(smoothed(flags(given))) == expected


@pytest.mark.parametrize(
    ("given", "expected"), [("0000100000", "0111111100"), ("1000000001", "1111001111"), ("0", "0")]
)
def test_three_windows_on_either_side_of_speech_are_kept(given, expected):
    assert shown(dilated(flags(given))) == expected


def test_windows_of_no_speech_are_cut_out_and_an_incomplete_last_one_is_left_out(plain_detector):
    text = "0" * 10 + "1" * 8 + "0" * 10
    waveform = np.concatenate((waveform_of(text), np.full(100, 0.9))).astype(np.float32)
    kept = dilated(smoothed(flags(text)))
    assert 0 < kept.sum() < len(kept)
    expected = np.concatenate([waveform[i * WINDOW : (i + 1) * WINDOW] for i in np.flatnonzero(kept)])
    np.testing.assert_array_equal(only_speech(waveform, 16000), expected)


@pytest.mark.parametrize("waveform", [waveform_of("0" * 20), np.full(WINDOW - 1, 0.9)], ids=["soft", "too short"])
def test_recording_without_speech_is_a_finding(plain_detector, waveform):
    with pytest.raises(BadAudio, match="no speech was found in it"):
        only_speech(waveform, 16000)


def test_samples_beyond_full_scale_are_clipped_for_the_detector(plain_detector):
    assert is_speech(np.full((1, WINDOW), 1.5, np.float32), 16000).all()  # 1.5 would overflow to -0.5


def test_long_recording_goes_to_the_detector_in_its_order(plain_detector, monkeypatch):
    monkeypatch.setattr(preparation, "BLOCK_WINDOWS", 3)
    text = "0110100101"
    assert shown(is_speech(waveform_of(text).reshape(-1, WINDOW), 16000)) == text


def test_quieter_recording_is_raised_to_the_level_and_a_louder_one_stays():
    soft = np.array([0.01, -0.01] * 100, np.float32)
    raised = raise_level(soft, -30)
    assert raised.dtype == np.float32
    np.testing.assert_allclose(raised, soft * 10 ** (10 / 20), rtol=1e-6)
    loud = np.array([0.1, -0.1] * 100, np.float32)
    assert raise_level(loud, -30) is loud


def test_steps_follow_each_other_and_zeros_come_last(plain_detector):
    waveform = (0.001 * waveform_of("0" * 5 + "1" * 8 + "0" * 5)).astype(np.float32)
    options = PreparationOptions(raise_level_db=-6, trim="webrtc", zeros_after_ms=20)
    found = prepared(waveform, 16000, options)
    expected = only_speech(raise_level(waveform, -6), 16000)
    np.testing.assert_array_equal(found, np.concatenate((expected, np.zeros(320, np.float32))))
    assert found.dtype == np.float32 and options.prepares


def test_nothing_is_done_by_default():
    waveform = waveform_of("01")
    assert prepared(waveform, 16000, PreparationOptions()) is waveform and not PreparationOptions().prepares


def test_impossible_options_are_named():
    assert "raise_level_db" in PreparationOptions(raise_level_db=3).problems()[0]
    options = PreparationOptions(trim="webrtc")
    options.sample_rate = 44100
    assert "8000, 16000, 32000, 48000 Hz, got sample_rate 44100" in options.problems()[0]


def test_missing_detector_is_one_line_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[webrtc\]'") as caught:
        only_speech(waveform_of("1" * 20), 16000)
    assert "\n" not in str(caught.value)


def test_level_and_speech_of_real_recordings_are_resemblyzers():
    pytest.importorskip("webrtcvad", reason="needs the extra webrtc")
    for utterance in utterances():
        waveform = utterance.waveform()
        raised = raise_level(waveform, -30)
        assert np.abs(raised).max() / np.abs(waveform).max() == pytest.approx(utterance["gain"], rel=1e-6)
        windows = raised[: len(raised) // WINDOW * WINDOW].reshape(-1, WINDOW)
        of_smoothed = smoothed(is_speech(windows, 16000))
        np.testing.assert_array_equal(of_smoothed, utterance["vad_smoothed"])
        np.testing.assert_array_equal(dilated(of_smoothed), utterance["vad_kept"])
        found = prepared(waveform, 16000, PreparationOptions(raise_level_db=-30, trim="webrtc"))
        assert [len(waveform), len(found)] == utterance["length"][:2].tolist()
