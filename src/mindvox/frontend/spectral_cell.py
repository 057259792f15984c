"""A Cell for spectrograms, mel spectrograms and MFCC: `Spectral` in single precision for models that take waveforms."""

from typing import Optional

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindvox.frontend.filterbank_cell import EnergiesCell, ProductOfBins
from mindvox.frontend.mfcc import Mfcc
from mindvox.frontend.spectral import Spectral


class SpectralCell(nn.Cell):
    """Turn waveforms into features, before normalisation; see `Spectral`.

    Args:
        front_end: the front end.
        form: see `FrontEnd.cell`.

    Inputs:
        - **waveform** - (B, N), full scale 1, N >= n_fft / 2 + 1 with mirrored edges. `top_db` counts from the greatest
          value of each waveform.

    Outputs:
        Features, (B, T, F), T = 1 + N // hop.
    """

    def __init__(self, front_end: Spectral, form: str = "product") -> None:
        super().__init__()
        options = front_end.options
        pad = front_end.n_fft // 2
        mirrors = options.padding == "reflect"
        self.pad = pad
        # A matrix product, because old MindSpore Lite has no operator that reverses an axis.
        self.backwards = ProductOfBins(np.eye(pad)[::-1], form) if mirrors else None
        self.energies = EnergiesCell(front_end, 0 if mirrors else pad, form)
        self.cosines = ProductOfBins(front_end.cosines(), form) if isinstance(front_end, Mfcc) else None
        self.floor, self.offset, self.top_db = options.floor, options.offset, options.top_db
        self.takes_log = options.log != "none"
        self.shift = options.feature_shift
        # Tensors: a product with a Python number becomes Muls, which old MindSpore Lite lacks.
        self.share = _factor(options.preemphasis, 0.0)
        self.log_factor = _factor(front_end.log_factor, 1.0)
        self.scale = _factor(options.feature_scale, 1.0)

    def construct(self, waveform: Tensor) -> Tensor:
        if self.share is not None:
            before = ops.cat((waveform[:, 1:2], waveform[:, :-1]), axis=1)
            waveform = waveform - self.share * before
        if self.backwards is not None:
            left = self.backwards(waveform[:, 1 : self.pad + 1].expand_dims(2)).squeeze(2)
            right = self.backwards(waveform[:, -self.pad - 1 : -1].expand_dims(2)).squeeze(2)
            waveform = ops.cat((left, waveform, right), axis=1)
        feats = self.energies(waveform)
        if self.floor > 0:
            feats = ops.maximum(feats, self.floor)
        if self.offset > 0:
            feats = feats + self.offset
        if self.takes_log:
            feats = ops.log(feats)
        if self.log_factor is not None:
            feats = self.log_factor * feats
        if self.top_db > 0:
            # Not feats.max: a MINDIR of free length with it cannot be run ("output index [0] large than", 2.10).
            feats = ops.maximum(feats, ops.amax(feats, (1, 2), keepdims=True) - self.top_db)
        if self.cosines is not None:
            feats = self.cosines(feats)
        if self.scale is not None:
            feats = self.scale * feats
        if self.shift != 0:
            feats = feats + self.shift
        return feats.swapaxes(1, 2)


def _factor(value: float, neutral: float) -> Optional[Tensor]:
    """Return a factor as a tensor, or None if it changes nothing."""
    return None if value == neutral else Tensor(value, ms.float32)
