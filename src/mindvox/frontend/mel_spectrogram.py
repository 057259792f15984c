"""Mel spectrograms with the numbers of torchaudio's `MelSpectrogram`, librosa's, or tacotron2's."""

from dataclasses import dataclass

import numpy as np

from mindvox.frontend.preparation import PreparationOptions, prepared
from mindvox.frontend.spectral import MelOptions, MelSpectral


class MelSpectrogram(MelSpectral):
    """Turn a waveform into its energies in mel filters; see `Spectral` and `MelSpectral`.

    The defaults are torchaudio's, which mvector uses unless configured otherwise: 128 bins of power, without a
    logarithm. docs/data.md has the settings of other toolkits.

    Args:
        dtype, settings: see `Spectral`.
    """

    @dataclass
    class Options(MelOptions, PreparationOptions):
        """Keys of the section `front_end`."""

    name = "mel_spectrogram"
    size_option = "n_mels"

    @property
    def prepares(self) -> bool:
        return self.options.prepares

    def prepare(self, waveform: np.ndarray) -> np.ndarray:
        return prepared(waveform, self.sample_rate, self.options)
