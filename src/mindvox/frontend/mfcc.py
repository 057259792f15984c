"""Mel-frequency cepstral coefficients with the numbers of torchaudio's `MFCC`."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mindvox.config.option import option
from mindvox.frontend.spectral import LOGS, MelOptions, MelSpectral


class Mfcc(MelSpectral):
    """Turn a waveform into the orthonormal cosine transform (DCT-II) of its mel energies in dB; see `Spectral`.

    The defaults are torchaudio's, which mvector uses unless configured otherwise. One departure: `top_db` applies below
    the greatest value of the utterance. torchaudio takes the greatest value of the whole batch, so that features of an
    utterance depend on the rest of its batch.

    Args:
        dtype, settings: see `Spectral`.
    """

    @dataclass
    class Options(MelOptions):
        """Keys of the section `front_end`."""

        n_mfcc: int = option(40, "number of coefficients, the size of a feature frame", minimum=1)
        floor: float = option(1e-10, "floor of values before the logarithm", minimum=0)
        log: str = option("db", "kind of logarithm of the mel energies, see mel_spectrogram", choices=LOGS)
        top_db: float = option(
            80.0, "dynamic range below the greatest value of an utterance, dB; 0: no limit", minimum=0
        )

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            if self.n_mfcc > self.n_mels:
                return [f"n_mfcc: expected at most n_mels, {self.n_mels}, got {self.n_mfcc}."]
            return []

    name = "mfcc"
    size_option = "n_mfcc"

    def __init__(self, dtype: type = np.float64, **settings: Any) -> None:
        super().__init__(dtype, **settings)
        self._cosines = self.cosines().astype(np.float32)

    def cosines(self) -> np.ndarray:
        """Return the orthonormal DCT-II as a matrix (n_mels, n_mfcc), float64."""
        num_mels = self.options.n_mels
        rows = np.outer(np.arange(num_mels) + 0.5, np.arange(self.options.n_mfcc))
        cosines = np.cos(np.pi / num_mels * rows) * np.sqrt(2 / num_mels)
        cosines[:, 0] = np.sqrt(1 / num_mels)
        return cosines

    def transformed(self, feats: np.ndarray) -> np.ndarray:
        return feats @ self._cosines
