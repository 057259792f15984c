"""Shared Cells of filterbanks: from a batch of waveforms to energies in mel filters."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindvox.frontend.filterbank import Filterbank
from mindvox.layers.conv import project


class ProductOfBins(nn.Cell):
    """Multiply each frame by a matrix, in single precision.

    Args:
        matrix: (F, G).
        form: see `FrontEnd.cell`.

    Inputs:
        - **x** - (B, F, T).

    Outputs:
        (B, G, T).
    """

    def __init__(self, matrix: np.ndarray, form: str) -> None:
        super().__init__()
        self.form = form
        weight = np.ascontiguousarray(matrix.T)
        self.weight = Tensor(weight[..., None, None] if form == "native" else weight, ms.float32)

    def construct(self, x: Tensor) -> Tensor:
        return project(x, self.weight) if self.form == "native" else ops.matmul(self.weight, x)


class EnergiesCell(nn.Cell):
    """Take the energy of each frame in filters, or at each frequency, in single precision.

    All steps before the power are linear. They are one product with a matrix of the window and the sines and cosines of
    the transform, so that every device can run it.

    Args:
        front_end: provides `analysis` and `filters`.
        pad: number of zeros before and after each waveform.
        form: see `FrontEnd.cell`.

    Inputs:
        - **waveform** - (B, N), full scale 1, long enough for one frame.

    Outputs:
        Energies, (B, M, T), see `Filterbank.energies`.
    """

    def __init__(self, front_end: Filterbank, pad: int = 0, form: str = "product") -> None:
        super().__init__()
        self.form = form
        self.pad = pad
        self.hop = front_end.hop_length
        analysis = front_end.analysis()  # (2 * K, W)
        num_rows, self.window_size = analysis.shape
        self.takes_magnitudes = front_end.takes_magnitudes
        filters = front_end.filters()
        self.filters = None if filters is None else ProductOfBins(filters[: num_rows // 2], form)
        # In native form this is the weight of a convolution.
        self.analysis = Tensor(analysis[:, None, None] if form == "native" else analysis, ms.float32)
        padding = (0, 0, pad, pad)
        self.transform = ops.Conv2D(num_rows, (1, self.window_size), pad_mode="pad", pad=padding, stride=(1, self.hop))

    def construct(self, waveform: Tensor) -> Tensor:
        real, imaginary = ops.chunk(ops.square(self.spectrum(waveform)), 2, axis=1)
        power = real + imaginary
        if self.takes_magnitudes:
            power = ops.sqrt(power)
        return power if self.filters is None else self.filters(power)

    def spectrum(self, waveform: Tensor) -> Tensor:
        """Return the real, then the imaginary parts of the frames' spectra, (B, 2 * K, T)."""
        if self.form == "native":
            return self.transform(waveform.expand_dims(1).expand_dims(1), self.analysis).squeeze(2)
        if self.pad:
            zeros = ops.zeros((waveform.shape[0], self.pad), ms.float32)
            waveform = ops.cat((zeros, waveform, zeros), axis=1)
        frames = ops.unfold(waveform.expand_dims(1).expand_dims(1), (1, self.window_size), stride=(1, self.hop))
        return ops.matmul(self.analysis, frames)
