"""Cutting, repeating and centring of waveforms and features."""

import numpy as np

from mindvox.frontend.frames import cut_frames, normalised, repeat_to, subtract_mean


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
