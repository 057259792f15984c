"""Make distortions_reference.npz and .json: SpeechBrain's distortions of the cases in distortion_cases.py.

Run from the root of the project with SpeechBrain 1.1.2 installed:

    PYTHONPATH=src:. python tests/frontend/reference/make_distortions_reference.py

The waveforms go through `src/mindvox/frontend/speechbrain_front.py`, which only calls SpeechBrain. Masks are drawn by
SpeechBrain's SpectrogramDrop itself, whose draws of `torch.randint` are replaced by the given ones.
"""

import json
import platform
from pathlib import Path
from unittest import mock

import numpy as np
import speechbrain
import torch
import torchaudio
from speechbrain.augment.freq_domain import SpectrogramDrop

from mindvox.frontend import speechbrain_front
from tests.frontend.reference.distortion_cases import CASES, MASKS, features, speech

FOLDER = Path(__file__).resolve().parent


def masked() -> np.ndarray:
    """Return SpectrogramDrop's result for the given masks, along time and then along frequency."""
    feats = torch.from_numpy(features())[None]
    for dim, masks in ((1, MASKS["times"]), (2, MASKS["bins"])):
        starts, lengths = (torch.tensor([values]) for values in zip(*masks, strict=True))
        with mock.patch("torch.randint", side_effect=[torch.tensor([len(masks)]), lengths, starts]):
            feats = SpectrogramDrop(replace="zeros", dim=dim)(feats)
    return feats[0].numpy()


def main() -> None:
    """Write both files beside this script and print the versions."""
    arrays = {"masks": masked()}
    for name, (function, arguments) in CASES.items():
        arrays[name] = getattr(speechbrain_front, function)(speech(), *arguments)
    np.savez_compressed(FOLDER / "distortions_reference.npz", **arrays)
    modules = (speechbrain, torch, torchaudio, np)
    versions = {"python": platform.python_version(), **{module.__name__: module.__version__ for module in modules}}
    (FOLDER / "distortions_reference.json").write_text(
        json.dumps({"versions": versions}, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
    print(json.dumps(versions, indent=2))


if __name__ == "__main__":
    main()
