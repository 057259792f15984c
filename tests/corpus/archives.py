"""Recordings and archives as bytes."""

import io
import zipfile

import numpy as np
import soundfile


def speech(seed: int = 0, num_samples: int = 8000) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, num_samples)


def wav(seed: int = 0) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, speech(seed), 16000, format="WAV")
    return stream.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()
