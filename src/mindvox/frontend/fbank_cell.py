"""SpeechBrain's filterbanks as a Cell, for models that take waveforms: the numbers of `Fbank` in single precision."""

import math

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvox.frontend.fbank import Fbank
from mindvox.frontend.filterbank_cell import EnergiesCell

DB = 10 / math.log(10)


class FbankCell(nn.Cell):
    """Turn waveforms into log mel filterbank energies in dB, before mean subtraction; see `Fbank`.

    Single precision is up to 3e-3 dB off in bins far below a frame's strongest bin.

    Args:
        front_end: the front end.
        form: see `FrontEnd.cell`.

    Inputs:
        - **waveform** - (B, N), full scale 1, N >= 1. The floor is `top_db` below the greatest value of
          each waveform.

    Outputs:
        Features, (B, T, F), T = 1 + N // hop.
    """

    def __init__(self, front_end: Fbank, form: str = "product") -> None:
        super().__init__()
        self.energies = EnergiesCell(front_end, front_end.n_fft // 2, form)
        self.amin = front_end.options.amin
        self.top_db = front_end.options.top_db
        self.db = Tensor(DB, ms.float32)  # a Python number would make the product Muls, which old MindSpore Lite lacks

    def construct(self, waveform: Tensor) -> Tensor:
        feats = self.db * ops.log(ops.maximum(self.energies(waveform), self.amin))
        # Not feats.max: a MINDIR of free length with it cannot be run ("output index [0] large than", MindSpore 2.10).
        floor = ops.amax(feats, (1, 2), keepdims=True) - self.top_db
        return ops.maximum(feats, floor).swapaxes(1, 2)
