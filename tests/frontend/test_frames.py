"""Cutting, repeating and centring of waveforms and features."""

import json
from pathlib import Path

import numpy as np
import pytest

from mindvox.frontend.frames import Windows, cut_frames, normalised, repeat_to, subtract_mean
from tests.vectors import load_vector


def test_short_arrays_are_repeated_from_their_start():
    np.testing.assert_array_equal(repeat_to(np.arange(3), 8), [0, 1, 2, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(repeat_to(np.arange(3), 2), [0, 1])


def test_cutting_keeps_the_first_frames_and_repeats_short_features():
    feats = np.arange(10, dtype=np.float32).reshape(5, 2)
    np.testing.assert_array_equal(cut_frames(feats, 3), feats[:3])
    np.testing.assert_array_equal(cut_frames(feats, 7), np.concatenate([feats, feats[:2]]))


def test_mean_is_taken_over_frames_of_each_utterance():
    batch = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    centred = subtract_mean(batch)
    np.testing.assert_allclose(centred.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(centred[1], subtract_mean(batch[1]), atol=1e-6)
    assert centred.dtype == np.float32


def test_mean_of_an_hour_of_frames_does_not_drift():
    feats = np.full((360000, 1), -33.3, np.float32)
    assert np.abs(subtract_mean(feats)).max() < 1e-5


def test_normalised_features_have_a_mean_of_zero_and_a_deviation_of_one_where_asked_for():
    feats = np.array([[1, 5], [3, 5], [5, 5]], np.float32)
    np.testing.assert_array_equal(normalised(feats, "none"), feats)
    np.testing.assert_allclose(normalised(feats, "mean"), [[-2, 0], [0, 0], [2, 0]])
    step = 2 / np.sqrt(8 / 3 + 1e-5)  # the variance is biased
    expected = np.array([[-step, 0], [0, 0], [step, 0]])
    for given in (feats, np.stack([feats, 7 * feats + 3])):
        found = normalised(given, "instance")
        assert found.dtype == np.float32 and found.shape == given.shape
        np.testing.assert_allclose(found.reshape(-1, 3, 2)[0], expected, atol=1e-6)


# RawNet2's windows and Resemblyzer's. Second variants: lengths at which the number of windows changes.


@pytest.mark.parametrize(
    ("num_frames", "starts"),
    [(1, [0]), (10, [0]), (11, [0, 1]), (18, [0, 8]), (19, [0, 8, 9]), (26, [0, 8, 16]), (30, [0, 8, 16, 20])],
)
def test_aligned_windows_end_with_the_utterance(num_frames, starts):
    windows = Windows(10, 8)
    assert windows.starts(num_frames) == starts
    feats = np.arange(2.0 * num_frames).reshape(num_frames, 2)
    for start in starts:
        np.testing.assert_array_equal(windows.cut(feats, start), repeat_to(feats[start:], 10))


def test_table_that_the_cpp_program_is_tested_on_holds_here():
    table = json.loads(Path(__file__).resolve().parents[1].joinpath("windows_cases.json").read_text())
    assert len(table) >= 50
    for case in table:
        length, starts = case.pop("length"), case.pop("starts")
        assert Windows(**case).starts(length) == starts, case


def test_padded_windows_are_those_of_resemblyzer():
    arrays, _ = load_vector("resemblyzer")
    table = json.loads(str(arrays["slices"]))
    assert len(table) > 40
    for num_samples, rate, min_coverage, starts in table:
        windows = Windows(160, round(16000 / rate / 160), "padded", min_coverage)
        assert windows.starts(1 + num_samples // 160) == starts, (num_samples, rate, min_coverage)


def test_zeros_follow_the_utterance_in_padded_windows():
    feats = np.ones((7, 2), np.float32)
    windows = Windows(5, 3, "padded", 0.2)
    assert windows.starts(7) == [0, 3]
    window = windows.cut(feats, 3)
    np.testing.assert_array_equal(window, [[1, 1]] * 4 + [[0, 0]])
    assert window.dtype == np.float32


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"num_frames": 0}, "windows of 0 frames"),
        ({"num_frames": 5.0}, "windows of 5.0 frames"),
        ({"step": 6}, "a step of 6"),
        ({"step": True}, "a step of True"),
        ({"last": "cut"}, "`last` must be one of"),
        ({"min_coverage": 0.5}, "`min_coverage` must be from 0 to 0 with 'aligned', got 0.5"),
        ({"last": "padded", "min_coverage": 1.5}, "from 0 to 1 with 'padded'"),
        ({"min_coverage": None}, "got None"),
    ],
)
def test_impossible_windows_are_refused(values, said):
    with pytest.raises(ValueError, match=said):
        Windows(**{"num_frames": 5, "step": 3, **values})
