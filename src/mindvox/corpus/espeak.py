"""Speech synthesis with espeak-ng's shared library through ctypes."""

import ctypes
import ctypes.util
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindvox.corpus.audio import INT16_SCALE
from mindvox.errors import InputError

# Constants of espeak-ng/speak_lib.h
_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_UTF8 = 1
_RATE, _VOLUME, _PITCH = 1, 2, 3
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

_SEED = 1
_HEADROOM_VOLUME = 40  # of 100; louder, the loudest variants clip


class Espeak:
    """One voice of espeak-ng.

    The library has one global state, which utterances change (pitch flutter, noise). For reproducible samples, create
    one object in a fresh process and synthesise the same texts in the same order.

    Args:
        voice: `<language>+<variant>`, such as `en-us+f3`.

    Raises:
        InputError: espeak-ng or the voice is not installed.
    """

    def __init__(self, voice: str) -> None:
        self._library, data_folder = _load()
        self.sample_rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data_folder, _DONT_EXIT)
        if self.sample_rate <= 0:
            raise InputError(f"espeak-ng {self.version} does not start; install it again: pip install -e '.[demo]'")
        self._blocks: list[np.ndarray] = []
        self._callback = _CALLBACK(self._keep)  # keep a reference: ctypes does not
        self._library.espeak_SetSynthCallback(self._callback)
        self._set_voice(voice)
        self._set_seed()

    @property
    def version(self) -> str:
        """Version of the library."""
        return self._library.espeak_Info(None).decode().split()[0]

    def synthesise(self, text: str, rate: int, pitch: int) -> np.ndarray:
        """Speak a text.

        Args:
            rate: words per minute.
            pitch: 0-99; 50 is the voice's natural pitch.

        Returns:
            Samples (N,) at `sample_rate`, float64 in [-1, 1].
        """
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_VOLUME, _HEADROOM_VOLUME)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._blocks.clear()
        data = text.encode() + b"\0"
        status = self._library.espeak_Synth(data, len(data), 0, 1, 0, _UTF8, None, None)
        if status != 0 or not self._blocks:
            raise RuntimeError(f"espeak-ng {self.version} did not speak {text!r}: status {status}.")
        return np.concatenate(self._blocks) / INT16_SCALE

    def _keep(self, samples: Any, num_samples: int, _events: int) -> int:
        if samples and num_samples > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (num_samples,)).copy())
        return 0

    def _set_voice(self, voice: str) -> None:
        # espeak-ng accepts an unknown variant and speaks with the plain language, so look for the file.
        data_folder = ctypes.c_char_p()
        self._library.espeak_Info(ctypes.byref(data_folder))
        variant = Path((data_folder.value or b"").decode(), "voices", "!v", voice.split("+")[1])
        if not variant.is_file() or self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise InputError(f"espeak-ng {self.version} has no voice '{voice}': pip install -e '.[demo]' brings 1.52.")

    def _set_seed(self) -> None:
        if hasattr(self._library, "espeak_ng_SetRandSeed"):
            self._library.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))
        else:  # before 1.52 the noise comes from the C library's rand(), which Initialize seeds with the time
            ctypes.CDLL(None).srand(_SEED)


def _load() -> tuple[ctypes.CDLL, Optional[bytes]]:
    """Return the library and its data folder: the package's, else the system's, which finds its own data."""
    try:
        import espeakng_loader

        path, data_folder = espeakng_loader.get_library_path(), espeakng_loader.get_data_path().encode()
    except ImportError:
        path, data_folder = ctypes.util.find_library("espeak-ng"), None
    if path is None:
        raise InputError("espeak-ng is not installed: pip install -e '.[demo]'.")
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise InputError(f"espeak-ng cannot be loaded ({error}): pip install -e '.[demo]'.") from None
    library.espeak_Info.restype = ctypes.c_char_p
    library.espeak_Synth.argtypes = (
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    )
    return library, data_folder
