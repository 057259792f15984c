"""Quality of recordings whose level, noise, bandwidth, clipping and voices are known."""

import numpy as np
import pytest

from mindvox.speech.quality import Limits, Problem, Quality, measure, problem

RATE = 16000
GOOD = Quality(5.0, 4.0, -25.0, 0.0, 30.0, 8000.0, 0.8)


def tone_bursts(duration_s=4.0, amplitude=0.8, noise=0.0, seed=0):
    """Return loud noise in every other half second, over steady noise; (N,)."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(duration_s * RATE)) / RATE
    loud = (times % 1.0) < 0.5
    # peaks at `amplitude`, so that the stand-in takes each window for speech
    signal = amplitude * np.sign(rng.standard_normal(len(times))) * loud
    return (signal + noise * rng.standard_normal(len(times))).astype(np.float32)


def test_speech_is_counted_and_its_level_is_that_of_speech_alone(loud):
    found = measure(tone_bursts(), loud)
    assert found.duration_s == 4.0
    assert found.net_speech_s == pytest.approx(4 * 0.5, abs=4 * (0.032 + 2 * 0.03))
    # 30 ms of padding on either side of half a second: a little softer
    assert found.level_dbfs == pytest.approx(20 * np.log10(0.8), abs=1.0)
    assert found.voice_agreement is None


@pytest.mark.parametrize("noise", [0.1, 0.03, 0.01])
def test_snr_is_of_speech_over_what_is_between(loud, noise):
    found = measure(tone_bursts(noise=noise), loud)
    assert found.snr_db == pytest.approx(20 * np.log10(0.8 / noise), abs=1.5)


def test_digital_silence_is_no_noise_floor(loud):
    noisy = tone_bursts(noise=0.03)
    with_zeros = np.concatenate([noisy, np.zeros(2 * len(noisy), np.float32)])
    assert measure(with_zeros, loud).snr_db == pytest.approx(measure(noisy, loud).snr_db, abs=0.5)
    offset = noisy + np.float32(0.05)
    assert measure(offset, loud).snr_db == pytest.approx(measure(noisy, loud).snr_db, abs=0.5)


def test_snr_is_at_most_60_db_and_unknown_without_frames(loud):
    assert measure(tone_bursts(noise=1e-6), loud).snr_db == 60
    assert measure(tone_bursts(duration_s=0.3), loud).snr_db is None


def test_bandwidth_of_a_telephone(loud):
    from scipy.signal import resample_poly

    wide = tone_bursts(noise=0.001)
    narrow = resample_poly(resample_poly(wide, 1, 2), 2, 1).astype(np.float32)
    assert measure(wide, loud).bandwidth_hz == 8000
    assert 3500 <= measure(narrow, loud).bandwidth_hz <= 4750


def test_clipping_shows_at_every_level(loud):
    rng = np.random.default_rng(1)
    speechlike = 0.2 * rng.standard_normal(RATE * 2).astype(np.float32)
    assert measure(speechlike, loud).clipped_share < 1e-3
    clipped = np.clip(speechlike, -0.2, 0.2)
    for gain in (5, 1, 0.1):
        assert measure(np.float32(gain) * clipped, loud).clipped_share == pytest.approx(0.317, abs=0.01)


def test_nothing_to_hear(loud):
    found = measure(np.zeros(RATE, np.float32), loud)
    assert found == Quality(1.0, 0.0, None, 0.0, None, None, None)
    assert measure(np.full(RATE, 0.01, np.float32), loud).level_dbfs == pytest.approx(-40, abs=0.01)
    with pytest.raises(ValueError, match="at least one sample"):
        measure(np.zeros(0, np.float32), loud)


def voices(*numbers):
    """Return an `embed` that gives consecutive windows these voices, by number; the voices are orthogonal."""
    left = list(numbers)

    def embed(part):
        assert part.shape == (3 * RATE,)
        return np.eye(4)[left.pop(0)] * 7 + 0.5

    return embed


def loud_speech(duration_s):
    return np.full(round(duration_s * RATE), 0.6, np.float32) * np.sign(np.sin(np.arange(round(duration_s * RATE))))


def test_two_voices_do_not_agree(loud):
    same = measure(loud_speech(12.1), loud, voices(0, 0, 0, 0)).voice_agreement
    two = measure(loud_speech(12.1), loud, voices(0, 1, 0, 1)).voice_agreement
    assert same == pytest.approx(1) and two < 0.2
    assert problem(Quality(12, 12, -3, 0, 30, 8000, two)).code == "several_speakers"
    three = measure(loud_speech(12.1), loud, voices(0, 1, 2, 2)).voice_agreement
    assert three == pytest.approx(two)


def test_short_speech_is_not_asked_for_its_voices_and_long_speech_not_everywhere(loud):
    assert measure(loud_speech(5.9), loud, voices()).voice_agreement is None
    assert measure(loud_speech(60.1), loud, voices(*[0] * 8)).voice_agreement == pytest.approx(1)


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"net_speech_s": 0.0}, "no_speech", "no speech was found in its 5.0 s"),
        ({"net_speech_s": 0.9}, "too_short", "0.9 s of speech, at least 1 s are needed"),
        ({"clipped_share": 0.2}, "too_noisy", "20.0% of its samples are clipped, at most 10.0% may be"),
        ({"snr_db": -3.0}, "too_noisy", "speech is -3 dB over the noise, at least 0 dB are needed"),
        ({"voice_agreement": 0.1}, "several_speakers", "parts is 0.10, at least 0.35 is expected for one voice"),
    ],
)
def test_problems(changes, code, said):
    found = problem(Quality(**{**vars(GOOD), **changes}))
    assert found.code == code and said in found.text


def test_what_is_good_enough_has_no_problem_and_limits_can_be_set():
    assert problem(GOOD) is None
    assert problem(Quality(5.0, 4.0, -25.0, 0.0, None, 8000.0)) is None
    assert problem(GOOD, Limits(min_net_speech_s=4.5)) == Problem(
        "too_short", "4.0 s of speech, at least 4.5 s are needed"
    )
    assert problem(GOOD, Limits(min_snr_db=31)).code == "too_noisy"


@pytest.mark.parametrize(
    "changes",
    [
        {"min_net_speech_s": -1},
        {"max_clipped_share": 1.1},
        {"min_voice_agreement": 2},
        {"min_snr_db": np.nan},
        {"min_net_speech_s": np.nan},
    ],
)
def test_impossible_limits_are_refused(changes):
    with pytest.raises(ValueError, match="expected"):
        Limits(**changes)
