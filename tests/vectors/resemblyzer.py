"""The three utterances of resemblyzer.npz: every stage from the recording to the embedding, by Resemblyzer's code."""

from typing import Any

import numpy as np
import pytest
import soundfile

from mindvox.config import ROOT
from tests.vectors import load_vector

RECORDINGS = ROOT.parent / "shared" / "data" / "mini_librispeech"


class Utterance:
    """One of them.

    Args:
        arrays: of the file, whose keys begin with `u<number>_`.
        number: 0 to 2.
        path: of its recording.
    """

    def __init__(self, arrays: dict[str, np.ndarray], number: int, path: str) -> None:
        self._arrays, self._prefix, self._path = arrays, f"u{number}_", path

    def __getitem__(self, key: str) -> Any:
        return self._arrays[self._prefix + key]

    def waveform(self) -> np.ndarray:
        """Return its samples (N,), float32; the test is skipped where the recordings are missing."""
        if not RECORDINGS.exists():
            pytest.skip("needs mini_librispeech, which is not part of the project")
        return soundfile.read(RECORDINGS / self._path, dtype="float32")[0]


def utterances() -> list[Utterance]:
    """Return the three; the test is skipped where the vectors are missing."""
    arrays, meta = load_vector("resemblyzer")
    return [Utterance(arrays, number, path) for number, path in enumerate(meta["utterances"])]
