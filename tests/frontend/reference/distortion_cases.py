"""The waveforms and drawn parameters for which SpeechBrain's distortions are stored."""

import numpy as np

NUM_SAMPLES = 4801
CHUNKS = ([0, 100, 4000, 4700], [1000, 2000, 801, 101])


def speech() -> np.ndarray:
    """Return (NUM_SAMPLES,) float32: noise with an envelope, so that places in time differ."""
    rng = np.random.default_rng(1)
    envelope = 0.3 * np.sin(np.linspace(0, 7, NUM_SAMPLES)) ** 2 + 0.01
    return (envelope * rng.standard_normal(NUM_SAMPLES)).astype(np.float32)


def noise() -> np.ndarray:
    return (0.05 * np.random.default_rng(2).standard_normal(NUM_SAMPLES)).astype(np.float32)


def room(length: int, direct: int) -> np.ndarray:
    """Return a decaying response whose strongest sample, a negative one, stands at `direct`."""
    rng = np.random.default_rng(length)
    response = 0.1 * rng.standard_normal(length) * np.exp(-np.arange(length) / 500)
    response[direct] = -1
    return response.astype(np.float32)


# name -> (function, arguments after the waveform)
CASES = {
    **{f"noise_{snr_db}": ("add_noise", (noise(), snr_db)) for snr_db in (0.0, 7.25, 15.0)},
    "noise_silent": ("add_noise", (np.zeros(NUM_SAMPLES, np.float32), 5.0)),
    "room_short": ("reverberate", (room(800, 30),)),
    "room_long": ("reverberate", (room(6000, 100),)),
    "room_direct_first": ("reverberate", (room(4801, 0),)),
    **{f"speed_{percent}": ("change_speed", (percent,)) for percent in (90, 95, 100, 105, 110, 97)},
    "freq_one": ("drop_frequencies", ([0.3],)),
    "freq_three": ("drop_frequencies", ([0.01, 0.5, 1.0],)),
    "freq_wide": ("drop_frequencies", ([0.25, 0.7], 0.1)),
    "chunks": ("drop_chunks", CHUNKS),
    "volume_low": ("set_peak", (0.5,)),
    "volume_high": ("set_peak", (1.5,)),
    "clip_half": ("clip_peaks", (0.5,)),
    "clip_most": ("clip_peaks", (0.05,)),
}
MASKS = {"times": [(0, 3), (18, 4)], "bins": [(5, 2), (9, 1)]}


def features() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((20, 10)).astype(np.float32)
