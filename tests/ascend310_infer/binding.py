"""The example that calls libmindvox by ctypes, as a module, and speech for the tests of this folder."""

import importlib.util
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "ascend310_infer" / "examples"
CORPUS = ROOT.parent / "shared" / "data" / "mini_librispeech" / "voxceleb1" / "wav"

_spec = importlib.util.spec_from_file_location("mindvox_ctypes", EXAMPLES / "mindvox_ctypes.py")
assert _spec is not None and _spec.loader is not None
binding = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(binding)


def speech(num_samples: int) -> np.ndarray:
    """Return samples of 16 kHz, full scale 1: of a recording where there are some, else noise that swells."""
    for path in sorted(CORPUS.glob("**/*.flac")):
        samples = soundfile.read(path, dtype="float32")[0]
        if len(samples) >= num_samples:
            return samples[:num_samples]
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, num_samples).astype(np.float32)
    return noise * np.sin(np.linspace(0.1, 9, num_samples, dtype=np.float32))
