"""Preparation of whole recordings before cutting and embedding: their level, and removal of non-speech.

The steps, their order and their constants are Resemblyzer's (resemble-ai/Resemblyzer 0.1.4). A front end with them
inherits its `Options` from `PreparationOptions` and calls `prepared`; see `FrontEnd.prepare`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mindvox.config.option import option
from mindvox.corpus.decoders import BadAudio
from mindvox.corpus.quality import level_db
from mindvox.errors import InputError

if TYPE_CHECKING:
    from webrtcvad import Vad

TRIMS = ("none", "webrtc")
VAD_MODE = 3  # of 0 to 3, the strictest
VAD_RATES = (8000, 16000, 32000, 48000)  # Hz, supported by WebRTC's detector
WINDOW_MS = 30
SMOOTHED = (3, 4)  # windows before and after that vote on a window together with it
DILATED = 3  # windows before and after a speech window that are kept with it
INT16_MAX = 32767
BLOCK_WINDOWS = 2048  # windows converted to 16-bit samples at once: a minute


@dataclass
class PreparationOptions:
    """Options of a front end that prepares recordings."""

    raise_level_db: float = option(
        0.0,
        "level (root mean square), dB below full scale, such as -30, to which quieter recordings are raised before "
        "embedding; 0: off",
    )
    trim: str = option(
        "none",
        "removal of non-speech from recordings before embedding; webrtc: by WebRTC's voice activity detector",
        choices=TRIMS,
    )
    zeros_after_ms: float = option(0.0, "length of zeros appended to a recording before embedding, ms", minimum=0)

    def problems(self) -> list[str]:
        """Return one line for each conflict between keys."""
        found = []
        if self.raise_level_db > 0:
            found.append(f"raise_level_db: expected at most 0 dB, which is full scale, got {self.raise_level_db:g}.")
        rate = getattr(self, "sample_rate", VAD_RATES[0])
        if self.trim == "webrtc" and rate not in VAD_RATES:
            rates = ", ".join(map(str, VAD_RATES))
            found.append(f"trim: WebRTC's detector takes waveforms of {rates} Hz, got sample_rate {rate}.")
        return found

    @property
    def prepares(self) -> bool:
        """Whether a recording is changed."""
        return self.raise_level_db < 0 or self.trim != "none" or self.zeros_after_ms > 0


def prepared(waveform: np.ndarray, sample_rate: int, options: PreparationOptions) -> np.ndarray:
    """Return a recording (N,), floating, full scale 1, prepared for embedding, (N',).

    Raises:
        BadAudio: it has no speech.
        InputError: the voice activity detector is not installed.
    """
    if options.raise_level_db < 0:
        waveform = raise_level(waveform, options.raise_level_db)
    if options.trim == "webrtc":
        waveform = only_speech(waveform, sample_rate)
    if options.zeros_after_ms > 0:
        zeros = np.zeros(round(options.zeros_after_ms * sample_rate / 1000), waveform.dtype)
        waveform = np.concatenate((waveform, zeros))
    return waveform


def raise_level(waveform: np.ndarray, target_db: float) -> np.ndarray:
    """Raise a quieter waveform (N,) to a root mean square of `target_db`; peaks may exceed full scale."""
    gain_db = target_db - level_db(waveform)
    return waveform * waveform.dtype.type(10 ** (gain_db / 20)) if gain_db > 0 else waveform


def only_speech(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the joined speech windows of a waveform (N,); an incomplete last window is left out.

    Raises:
        BadAudio: there are none.
        InputError: the voice activity detector is not installed.
    """
    length = sample_rate * WINDOW_MS // 1000
    windows = waveform[: len(waveform) // length * length].reshape(-1, length)
    kept = dilated(smoothed(is_speech(windows, sample_rate))) if len(windows) else np.zeros(0, bool)
    if not kept.any():
        raise BadAudio("no speech was found in it")
    return windows[kept].reshape(-1)


def is_speech(windows: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the decisions of WebRTC's detector for consecutive windows (W, 30 ms of samples), full scale 1: (W,),
    bool.

    Samples beyond full scale are clipped. Resemblyzer lets them overflow.

    Raises:
        InputError: the voice activity detector is not installed.
    """
    detector = _detector()
    found = np.zeros(len(windows), bool)
    for first in range(0, len(windows), BLOCK_WINDOWS):
        block = np.clip(np.round(windows[first : first + BLOCK_WINDOWS] * INT16_MAX), -INT16_MAX - 1, INT16_MAX)
        for row, window in enumerate(block.astype("<i2"), first):
            found[row] = detector.is_speech(window.tobytes(), sample_rate)
    return found


def smoothed(flags: np.ndarray) -> np.ndarray:
    """Return, for each window (W,), whether more than half of the eight around it are speech."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(flags, SMOOTHED), sum(SMOOTHED) + 1)
    return around.sum(axis=1) > around.shape[1] / 2


def dilated(flags: np.ndarray) -> np.ndarray:
    """Return, for each window (W,), whether any of the seven around it is speech."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(flags, DILATED), 2 * DILATED + 1)
    return around.any(axis=1)


def _detector() -> "Vad":
    """Return a fresh detector."""
    try:
        from webrtcvad import Vad
    except ImportError:
        raise InputError(
            "this model takes only speech (front_end.trim: webrtc), for which webrtcvad is needed; it is not "
            "installed: pip install -e '.[webrtc]'"
        ) from None
    return Vad(VAD_MODE)
