"""What happens to speech on its way: noises that are computed, babble, telephones, codecs, rooms, levels.

Every function takes and returns samples (N,) at 16 kHz, full scale 1, and draws from the generator that it is given.
"""

import io
from collections.abc import Sequence

import numpy as np
import soundfile
from scipy.signal import fftconvolve, resample_poly

RATE = 16000
COLOURS = {"white": 0.0, "pink": 0.5, "brown": 1.0}  # the amplitude falls with frequency to this power
HUM_HZ = 50.0
GENERATED = (*COLOURS, "hum", "modulated")


def generated_noise(rng: np.random.Generator, num_samples: int, kind: str) -> np.ndarray:
    """Return noise of one of GENERATED that no recording is needed for."""
    times = np.arange(num_samples) / RATE
    if kind == "hum":
        harmonics = np.arange(1, 40)
        phases = rng.uniform(0, 2 * np.pi, len(harmonics))
        gains = rng.uniform(0.2, 1, len(harmonics)) / harmonics**0.5
        return (gains[:, None] * np.sin(2 * np.pi * HUM_HZ * np.outer(harmonics, times) + phases[:, None])).sum(axis=0)
    if kind == "modulated":  # as loud and soft as traffic
        slow = np.exp(np.sin(2 * np.pi * rng.uniform(0.2, 1.5) * times + rng.uniform(0, 2 * np.pi)))
        return slow * generated_noise(rng, num_samples, "pink")
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    return np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 1.0) ** COLOURS[kind], num_samples)


def babble(rng: np.random.Generator, num_samples: int, talkers: Sequence[np.ndarray]) -> np.ndarray:
    """Return several talkers at once, each as loud as the others."""
    mixed = np.zeros(num_samples)
    for talker in talkers:
        voice = np.resize(np.roll(talker, int(rng.integers(len(talker)))), num_samples)
        mixed += voice / np.sqrt(np.mean(np.square(voice)) + 1e-12)
    return mixed


def at_snr(waveform: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Add noise; the ratio is of both powers over the whole length. The sum is scaled to stay within full scale."""
    gain = np.sqrt(np.mean(np.square(waveform)) / (np.mean(np.square(noise)) + 1e-20) / 10 ** (snr_db / 10))
    mixed = waveform + gain * noise
    return (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)


def telephone(waveform: np.ndarray) -> np.ndarray:
    """Return what G.711 leaves: 300 to 3400 Hz at 8 kHz, in 8 bits by mu-law."""
    spectrum = np.fft.rfft(waveform)
    frequencies = np.fft.rfftfreq(len(waveform), 1 / RATE)
    spectrum[(frequencies < 300) | (frequencies > 3400)] = 0
    narrow = np.clip(resample_poly(np.fft.irfft(spectrum, len(waveform)), 1, 2), -1, 1)
    compressed = np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)
    compressed = np.round(compressed * 127) / 127
    expanded = np.sign(compressed) * (256 ** np.abs(compressed) - 1) / 255
    return resample_poly(expanded, 2, 1)[: len(waveform)].astype(np.float32)


def narrow_band(waveform: np.ndarray) -> np.ndarray:
    """Return the recording as it is after 8 kHz."""
    return resample_poly(resample_poly(waveform, 1, 2), 2, 1)[: len(waveform)].astype(np.float32)


def coded(waveform: np.ndarray, file_format: str, subtype: str, level: float) -> np.ndarray:
    """Return what a codec of libsndfile leaves; `level` is from 0 (best) to 1 (smallest)."""
    stream = io.BytesIO()
    with soundfile.SoundFile(stream, "w", RATE, 1, subtype, format=file_format, compression_level=level) as file:
        file.write(waveform)
    stream.seek(0)
    decoded, _ = soundfile.read(stream, dtype="float32")
    return np.resize(decoded, len(waveform)) if len(decoded) < len(waveform) else decoded[: len(waveform)]


def in_room(waveform: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Return the speech in a room, from its direct sound on, as loud as before."""
    heard = fftconvolve(waveform, response)[int(np.abs(response).argmax()) :][: len(waveform)]
    heard *= np.sqrt(np.mean(np.square(waveform)) / (np.mean(np.square(heard)) + 1e-20))
    return np.clip(heard, -1, 1).astype(np.float32)
