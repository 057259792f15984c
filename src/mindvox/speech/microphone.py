"""Record from a microphone with the package sounddevice (extra microphone)."""

import argparse
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Any, ClassVar, Optional, TextIO

import numpy as np

from mindvox.corpus.audio import SAMPLE_RATE
from mindvox.errors import InputError
from mindvox.progress import quantity

METER_WIDTH = 30
METER_FLOOR_DB = -60.0
PATIENCE_S = 5.0  # longest wait for a block of samples
INSTALL = "pip install -e '.[microphone]'; on Debian also: apt-get install libportaudio2"
LONGEST_S = 600.0


@dataclass(frozen=True)
class Microphone:
    """A recording that is made when it is needed, with the system's default microphone: 16 kHz, one channel.

    Args:
        duration_s: length of the recording in s, more than 0 and at most 600.

    Raises:
        ValueError: the length is out of range.
    """

    duration_s: float
    sample_rate: ClassVar[int] = SAMPLE_RATE

    def __post_init__(self) -> None:
        if not 0 < self.duration_s <= LONGEST_S:
            raise ValueError(f"expected more than 0 and at most {LONGEST_S:g} s, got {self.duration_s:g}.")

    def __str__(self) -> str:
        return "the microphone"

    def record(self, begin: Optional[Callable[[], None]] = None, meter: Optional[TextIO] = None) -> np.ndarray:
        """Return samples (N,), float32, full scale 1; if some are lost, a line on stderr says so.

        Args:
            begin: called when the microphone delivers; None: a line on stderr asks to speak.
            meter: if this is a terminal, a line on it shows the level and is updated in place; None: stderr.

        Raises:
            InputError: sounddevice or PortAudio is not installed, there is no microphone, or it delivers nothing.
        """
        meter = meter or sys.stderr
        sounddevice = _sounddevice()
        blocks: SimpleQueue[tuple[np.ndarray, bool]] = SimpleQueue()

        def keep(block: np.ndarray, num_frames: int, time: Any, status: Any) -> None:
            blocks.put((block[:, 0].copy(), status.input_overflow))

        rate = self.sample_rate
        num_samples = round(self.duration_s * rate)
        taken: list[np.ndarray] = []
        num_taken = num_gaps = 0
        try:
            with sounddevice.InputStream(
                samplerate=rate, channels=1, dtype="float32", blocksize=rate // 10, callback=keep
            ):
                while num_taken < num_samples:
                    block, follows_gap = blocks.get(timeout=PATIENCE_S)
                    if not taken:
                        (begin or self._ask_to_speak)()
                    elif follows_gap:
                        num_gaps += 1
                    taken.append(block)
                    num_taken += len(block)
                    _show(meter, block, (num_samples - num_taken) / rate)
        except sounddevice.PortAudioError as error:
            raise InputError(f"no microphone can be opened ({error}). Connect one, or give a file.") from None
        except Empty:
            raise InputError(
                f"the microphone delivered nothing for {PATIENCE_S:g} s. Choose another, or give a file."
            ) from None
        finally:
            if taken and meter.isatty():
                meter.write("\n")
        if num_gaps:
            print(
                f"warning: the machine was too busy: samples are lost in {quantity(num_gaps, 'place')}", file=sys.stderr
            )
        return np.concatenate(taken)[:num_samples]

    def _ask_to_speak(self) -> None:
        print(f"speak now, for {self.duration_s:g} s", file=sys.stderr, flush=True)


def microphone(text: str) -> Microphone:
    """Return the microphone that records for so many seconds. A `type` for argparse."""
    try:
        duration_s = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected seconds, got {text!r}") from None
    try:
        return Microphone(duration_s)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
