"""The front end as a Cell, for models that take waveforms: the numbers of `src.frontend.fbank` in single precision."""

import math

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.frontend.fbank import FbankConfig, mel_filters, periodic_hamming

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

    Inputs:
        - **waveform** - (B, N), full scale 1, N >= 1. The floor is under the greatest value of each whole waveform.

    Outputs:
        Features, (B, T, F), T = 1 + N // hop.
    """

    def __init__(self, config: FbankConfig) -> None:
        super().__init__()
        self.pad = config.n_fft // 2
        self.hop = config.hop_length
        self.window_size = config.n_fft
        self.amin = config.amin
        self.top_db = config.top_db
        self.dft = Tensor(windowed_dft(config), ms.float32)  # (2 * bins, n_fft)
        self.filters = Tensor(mel_filters(config).T.copy(), ms.float32)  # (F, bins)

    def construct(self, waveform: Tensor) -> Tensor:
        zeros = ops.zeros((waveform.shape[0], self.pad), ms.float32)
        padded = ops.cat((zeros, waveform, zeros), axis=1)
        frames = ops.unfold(padded.expand_dims(1).expand_dims(1), (1, self.window_size), stride=(1, self.hop))
        spectrum = ops.square(ops.matmul(self.dft, frames))  # (B, 2 * bins, T)
        real, imaginary = ops.chunk(spectrum, 2, axis=1)
        power = ops.matmul(self.filters, real + imaginary)
        feats = DB * ops.log(ops.maximum(power, self.amin))
        # Not feats.max: a MINDIR of free length with it cannot be run ("output index [0] large than", MindSpore 2.10).
        floor = ops.amax(feats, (1, 2), keepdims=True) - self.top_db
        return ops.maximum(feats, floor).swapaxes(1, 2)


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
