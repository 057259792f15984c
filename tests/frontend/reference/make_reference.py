"""Make fbank_reference.npz and .json: SpeechBrain's features of the waveforms in signals.py.

Run from the root of the project, with mini_librispeech in place and SpeechBrain 1.1.2 installed:

    PYTHONPATH=src:. python tests/frontend/reference/make_reference.py

`single/<name>` is what SpeechBrain gives, `double/<name>` the same modules in double precision (its distance to the
first is SpeechBrain's own rounding), both after InputNormalization; `raw/<name>` is `double` before it.
"""

import hashlib
import json
import platform
from pathlib import Path

import numpy as np
import scipy
import soundfile
import speechbrain
import torch
import torchaudio
from speechbrain.lobes.features import Fbank
from speechbrain.processing.features import InputNormalization

from tests.frontend.reference.signals import CORPUS, speech_files, stored_frames, synthetic_waveforms

FOLDER = Path(__file__).resolve().parent


def features(waveform: np.ndarray, dtype: torch.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return SpeechBrain's features before and after its sentence mean normalisation, computed in `dtype`."""
    torch.set_default_dtype(dtype)
    raw = Fbank(n_mels=80)(torch.from_numpy(waveform)[None].to(dtype))
    normalised = InputNormalization(norm_type="sentence", std_norm=False)(raw, torch.ones(1))
    if normalised.dtype != dtype:
        raise RuntimeError(f"expected SpeechBrain to compute in {dtype}, got {normalised.dtype}")
    return raw[0].numpy(), normalised[0].numpy()


def main() -> None:
    """Write both files beside this script and print the versions."""
    waveforms = synthetic_waveforms()
    hashes = {}
    for name in speech_files():
        waveforms[name] = soundfile.read(CORPUS / name, dtype="float32")[0]
        hashes[name] = hashlib.sha256((CORPUS / name).read_bytes()).hexdigest()
    arrays = {}
    for name, waveform in waveforms.items():
        raw, double = features(waveform, torch.float64)
        single = features(waveform, torch.float32)[1]
        rows = stored_frames(name, len(raw))
        for kind, feats in (("raw", raw), ("double", double), ("single", single)):
            arrays[f"{kind}/{name}"] = feats[rows].astype(np.float32)
    np.savez_compressed(FOLDER / "fbank_reference.npz", **arrays)
    modules = (speechbrain, torch, torchaudio, np, scipy, soundfile)
    versions = {module.__name__: module.__version__ for module in modules}
    about = {"versions": {"python": platform.python_version(), **versions}, "speech_sha256": hashes}
    (FOLDER / "fbank_reference.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(json.dumps(about["versions"], indent=2))


if __name__ == "__main__":
    main()
