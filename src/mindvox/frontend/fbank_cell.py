"""The front end as a Cell, for models that take waveforms: the numbers of `Fbank` in single precision."""

import math

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindvox.frontend.fbank import FbankConfig, mel_filters, periodic_hamming
from mindvox.layers.conv import project

DB = 10 / math.log(10)


def windowed_dft(config: FbankConfig) -> np.ndarray:
    """Return window and real Fourier transform as one matrix (2 * bins, n_fft), cosines then sines, float64."""
    # Angles of whole turns are taken off as integers: cos loses digits for large arguments.
    turns = np.outer(np.arange(config.n_fft // 2 + 1), np.arange(config.n_fft)) % config.n_fft
    angles = 2 * np.pi * turns / config.n_fft
    return np.concatenate((np.cos(angles), np.sin(angles))) * periodic_hamming(config.win_length, config.n_fft)


class FbankCell(nn.Cell):
    """Turn waveforms into log mel filterbank energies in dB, before mean subtraction; see `Fbank`.

    The transform is one product with sines and cosines that carry the window, so that every device can run it. Single
    precision is up to 3e-3 dB off in bins far below a frame's strongest.

    Args:
        config: the parameters.
        form: "product" gathers the windows and multiplies, which MindSpore computes fast on every device; "native" is
            a convolution, which MindSpore Lite knows.

    Inputs:
        - **waveform** - (B, N), full scale 1, N >= 1. The floor is under the greatest value of each whole waveform.

    Outputs:
        Features, (B, T, F), T = 1 + N // hop.
    """

    def __init__(self, config: FbankConfig, form: str = "product") -> None:
        super().__init__()
        self.form = form
        self.pad = config.n_fft // 2
        self.hop = config.hop_length
        self.window_size = config.n_fft
        self.amin = config.amin
        self.top_db = config.top_db
        dft, filters = windowed_dft(config), mel_filters(config).T.copy()  # (2 * bins, n_fft), (F, bins)
        if form == "native":  # the weights of convolutions
            dft, filters = dft[:, None, None], filters[..., None, None]
        self.dft = Tensor(dft, ms.float32)
        self.filters = Tensor(filters, ms.float32)
        self.db = Tensor(DB, ms.float32)  # a Python number would make the product Muls, which old MindSpore Lite lacks
        num_rows, padding = self.dft.shape[0], (0, 0, self.pad, self.pad)
        self.transform = ops.Conv2D(num_rows, (1, self.window_size), pad_mode="pad", pad=padding, stride=(1, self.hop))

    def construct(self, waveform: Tensor) -> Tensor:
        real, imaginary = ops.chunk(ops.square(self.spectrum(waveform)), 2, axis=1)
        power = self.mel(real + imaginary)
        feats = self.db * ops.log(ops.maximum(power, self.amin))
        # Not feats.max: a MINDIR of free length with it cannot be run ("output index [0] large than", MindSpore 2.10).
        floor = ops.amax(feats, (1, 2), keepdims=True) - self.top_db
        return ops.maximum(feats, floor).swapaxes(1, 2)

    def spectrum(self, waveform: Tensor) -> Tensor:
        """Return the real, then the imaginary parts of the windows' spectra, (B, 2 * bins, T)."""
        if self.form == "native":
            return self.transform(waveform.expand_dims(1).expand_dims(1), self.dft).squeeze(2)
        zeros = ops.zeros((waveform.shape[0], self.pad), ms.float32)
        padded = ops.cat((zeros, waveform, zeros), axis=1)
        frames = ops.unfold(padded.expand_dims(1).expand_dims(1), (1, self.window_size), stride=(1, self.hop))
        return ops.matmul(self.dft, frames)

    def mel(self, power: Tensor) -> Tensor:
        """Sum the power of the bins by the mel filters, (B, F, T)."""
        if self.form == "native":
            return project(power, self.filters)
        return ops.matmul(self.filters, power)


class WaveformModel(nn.Cell):
    """A model of features behind its front end and the subtraction of their mean.

    Args:
        front_end: waveforms to features.
        model: mean-subtracted features to whatever it returns.

    Inputs:
        - **waveform** - see `FbankCell`.

    Outputs:
        The model's.
    """

    def __init__(self, front_end: FbankCell, model: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.front_end = front_end
        self.model = model

    def construct(self, waveform: Tensor) -> Tensor:
        feats = self.front_end(waveform)
        return self.model(feats - feats.mean(axis=1, keep_dims=True))
