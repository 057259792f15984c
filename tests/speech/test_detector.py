"""Silero's detector: the input of the network, and how probabilities become segments."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.errors import InputError
from mindvox.speech.detector import Segmentation, SpeechDetector, only_speech
from tests.detector import WINDOWS_FACTOR

WINDOW_S = 0.032
RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "data" / "mini_librispeech" / "voxceleb1" / "wav"


def segments(probabilities, duration_s=None, **settings):
    values = np.array(probabilities, np.float32)
    found = Segmentation(**{"pad_s": 0, **settings}).segments(values, duration_s or len(values) * WINDOW_S)
    return [(round(start / WINDOW_S, 6), round(end / WINDOW_S, 6)) for start, end in found]


# Probabilities


def test_each_window_sees_the_samples_before_it_and_the_state(loud):
    waveform = np.zeros(3 * 512 + 100, np.float32)
    waveform[512 - 64] = 0.5  # the first sample of the second window's context
    waveform[1024 - 65] = 0.25  # one before the third's
    expected = np.array([0.5, 0.5, 0, 0]) + WINDOWS_FACTOR * np.arange(4)
    np.testing.assert_allclose(loud.probabilities(waveform), expected, atol=1e-7)


def test_a_recording_does_not_depend_on_the_one_before(loud):
    waveform = np.linspace(-1, 1, 5000)
    first = loud.probabilities(waveform)
    assert first.shape == (10,) and first.dtype == np.float32
    np.testing.assert_array_equal(loud.probabilities(waveform), first)


def test_no_samples_are_no_windows(loud):
    assert loud.probabilities(np.zeros(0)).shape == (0,) and loud.segments(np.zeros(0)) == []


@pytest.mark.parametrize(
    ("waveform", "said"),
    [
        (np.zeros((2, 100), np.float32), r"got float32 \(2, 100\)"),
        (np.zeros(100, np.int16), "floats of full scale 1, got int16"),
        (np.array([0.0, np.nan]), "NaN"),
    ],
)
def test_what_is_no_waveform_is_refused(loud, waveform, said):
    with pytest.raises(ValueError, match=said):
        loud.probabilities(waveform)


# Segments


def test_a_run_begins_at_the_onset_and_ends_below_the_offset():
    assert segments([0.1, 0.45, 0.5, 0.4, 0.36, 0.9, 0.34, 0, 0, 0], min_speech_s=0) == [(2, 6)]


def test_a_short_silence_is_bridged_and_a_long_one_is_not():
    assert segments([1, 1, 0, 0, 0, 0, 1], min_speech_s=0) == [(0, 7)]  # 96 ms from the first to the last
    assert segments([1, 1, 0, 0, 0, 0, 0, 1], min_speech_s=0) == [(0, 2), (7, 8)]


def test_windows_between_offset_and_onset_neither_end_speech_nor_a_silence():
    assert segments([1, 0.2, 0.4, 0.4, 0.4, 0.4, 1], min_speech_s=0) == [(0, 7)]
    assert segments([1, 0.2, 0.4, 0.4, 0.4, 0.2, 1], min_speech_s=0) == [(0, 1), (6, 7)]


def test_short_runs_are_dropped():
    assert segments([1] * 7 + [0] * 5 + [1] * 8) == [(12, 20)]  # 224 and 256 ms


def test_padding_ends_at_the_recording_and_halfway_to_the_neighbour():
    found = segments([1] * 8 + [0] * 5 + [1] * 8, pad_s=0.1, duration_s=20.5 * WINDOW_S)
    assert found == [(0, 10.5), (10.5, 20.5)]
    (only,) = segments([0] * 10 + [1] * 8 + [0] * 10, pad_s=WINDOW_S)
    assert only == (9, 19)


@pytest.mark.parametrize(
    "settings", [{"onset": 0.3}, {"offset": 0}, {"onset": 1}, {"pad_s": -1}, {"min_silence_s": np.nan}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match="expected"):
        Segmentation(**settings)


def test_only_speech_joins_the_segments():
    waveform = np.arange(16000 * 3)
    joined = only_speech(waveform, [(0.5, 1.0), (2.0, 2.25)])
    np.testing.assert_array_equal(joined, np.concatenate([waveform[8000:16000], waveform[32000:36000]]))
    assert only_speech(waveform, []).shape == (0,)


# The file


def test_without_a_path_the_fetched_file_is_taken(loud_file, tmp_path, monkeypatch):
    monkeypatch.setenv("MINDVOX_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"silero_vad.model\.onnx: no such file.* mindvox fetch silero_vad$"):
        SpeechDetector.open()
    place = tmp_path / "models" / "silero_vad"
    place.mkdir(parents=True)
    (place / "model.onnx").write_bytes(loud_file.read_bytes())
    assert len(SpeechDetector.open().probabilities(np.zeros(1024))) == 2


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.onnx: no such file, expected Silero's speech detector\.$"):
        SpeechDetector.open(tmp_path / "a.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputError, match=r"text\.onnx: ONNX Runtime cannot load it"):
        SpeechDetector.open(tmp_path / "text.onnx")


def test_another_network_is_refused(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "other", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(InputError, match="with inputs input, sr, state, got x"):
        SpeechDetector.open(tmp_path / "other.onnx")


# Silero's own network


def test_silero_tells_speech_from_noise_and_tones(silero):
    rng = np.random.default_rng(0)
    times = np.arange(48000) / 16000
    for waveform in (0.1 * rng.standard_normal(48000), 0.5 * np.sin(2 * np.pi * 440 * times), np.zeros(48000)):
        assert silero.segments(waveform) == []
    if not RECORDINGS.exists():
        pytest.skip("needs mini_librispeech, which is not part of the project")
    speech, _ = soundfile.read(next(RECORDINGS.rglob("*.flac")), dtype="float32")
    found = silero.segments(np.concatenate([np.zeros(32000, np.float32), speech]))
    assert found[0][0] > 1.9 and sum(end - start for start, end in found) > 0.6 * len(speech) / 16000
