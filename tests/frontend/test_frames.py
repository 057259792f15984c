"""Cutting, repeating and centring of waveforms and features."""

import numpy as np

from mindvox.frontend.frames import cut_frames, repeat_to, subtract_mean


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
