"""Record from a microphone with the package sounddevice (extra microphone)."""

import importlib
import sys
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Any, TextIO

import numpy as np

from mindvox.corpus.audio import SAMPLE_RATE
from mindvox.errors import InputError

METER_WIDTH = 30
METER_FLOOR_DB = -60.0
PATIENCE_S = 5.0  # longest wait for a block of samples
INSTALL = "pip install -e '.[microphone]'; on Debian also: apt-get install libportaudio2"
LONGEST_S = 600.0


def record(duration_s: float, meter: TextIO = sys.stderr) -> np.ndarray:
    """Return samples (N,), 16 kHz, full scale 1, from the system's default microphone.

    Args:
        duration_s: length of the recording in s, at most 600.
        meter: if this is a terminal, a line on it shows the level and is updated in place.

    Raises:
        InputError: sounddevice or PortAudio is not installed, there is no microphone, or it delivers nothing.
        ValueError: the length is out of range.
    """
    if not 0 < duration_s <= LONGEST_S:
        raise ValueError(f"expected a length from 0 to {LONGEST_S:g} s, got {duration_s}.")
    sounddevice = _sounddevice()
    blocks: SimpleQueue[np.ndarray] = SimpleQueue()

    def keep(block: np.ndarray, num_frames: int, time: Any, status: Any) -> None:
        blocks.put(block[:, 0].copy())

    num_samples = round(duration_s * SAMPLE_RATE)
    taken: list[np.ndarray] = []
    num_taken = 0
    try:
        with sounddevice.InputStream(
            samplerate=SAMPLE_RATE, channels=1, dtype="float32", blocksize=SAMPLE_RATE // 10, callback=keep
        ):
            while num_taken < num_samples:
                taken.append(blocks.get(timeout=PATIENCE_S))
                num_taken += len(taken[-1])
                _show(meter, taken[-1], (num_samples - num_taken) / SAMPLE_RATE)
    except sounddevice.PortAudioError as error:
        raise InputError(f"no microphone can be opened ({error}). Connect one, or give a file.") from None
    except Empty:
        raise InputError(
            f"the microphone delivered nothing for {PATIENCE_S:g} s. Choose another, or give a file."
        ) from None
    finally:
        if meter.isatty():
            meter.write("\n")
    return np.concatenate(taken)[:num_samples]


def level_line(block: np.ndarray, left_s: float) -> str:
    """Return a bar for the level of samples (N,), followed by the time left to record in s."""
    power = float(np.mean(np.square(block, dtype=np.float64)))
    level_db = max(METER_FLOOR_DB, 10 * np.log10(power)) if power > 0 else METER_FLOOR_DB
    filled = min(METER_WIDTH, round((1 - level_db / METER_FLOOR_DB) * METER_WIDTH))
    clipped = "  too loud" if np.abs(block).max() >= 1 else ""
    return f"[{'#' * filled:<{METER_WIDTH}}] {level_db:4.0f} dB  {max(0.0, left_s):5.1f} s left{clipped}"


def _show(meter: TextIO, block: np.ndarray, left_s: float) -> None:
    """Overwrite the last line of a terminal; write nothing to a file."""
    if meter.isatty():
        meter.write(f"\r{level_line(block, left_s):<70}")
        meter.flush()


def _sounddevice() -> ModuleType:
    try:
        return importlib.import_module("sounddevice")
    except ImportError:
        raise InputError(f"recording needs the package sounddevice: {INSTALL}") from None
    except OSError as error:  # sounddevice is installed, PortAudio is not
        raise InputError(f"recording needs PortAudio ({error}): {INSTALL}") from None
