"""Mel spectrograms with the numbers of torchaudio's `MelSpectrogram`, librosa's, or tacotron2's."""

from dataclasses import dataclass

from mindvox.frontend.spectral import MelOptions, MelSpectral


class MelSpectrogram(MelSpectral):
    """Turn a waveform into its energies in mel filters; see `Spectral` and `MelSpectral`.

    The defaults are torchaudio's, which mvector takes where nothing else is said: 128 bins of power, without a
    logarithm. docs/data.md has the settings of other toolkits.

    Args:
        dtype, settings: see `Spectral`.
    """

    @dataclass
    class Options(MelOptions):
        """Keys of the section `front_end`."""

    name = "mel_spectrogram"
    size_option = "n_mels"
