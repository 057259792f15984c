"""Spectrograms with the numbers of torchaudio's `Spectrogram`."""

from dataclasses import dataclass

from mindvox.frontend.spectral import Spectral, SpectralOptions


class Spectrogram(Spectral):
    """Turn a waveform into the power or magnitude at each of n_fft / 2 + 1 frequencies; see `Spectral`.

    The defaults are torchaudio's, which mvector uses unless configured otherwise: powers, without a logarithm.

    Args:
        dtype, settings: see `Spectral`.
    """

    @dataclass
    class Options(SpectralOptions):
        """Keys of the section `front_end`."""

    name = "spectrogram"
    size_option = None

    @property
    def size(self) -> int:
        return self.n_fft // 2 + 1
