"""Kaldi's filterbanks as a Cell, for models that take waveforms: the numbers of `KaldiFbank` in single precision."""

from mindspore import Tensor, nn, ops

from mindvox.frontend.filterbank_cell import EnergiesCell
from mindvox.frontend.kaldi_fbank import FLOOR, KaldiFbank


class KaldiFbankCell(nn.Cell):
    """Turn waveforms into natural logarithms of mel filterbank energies, before mean subtraction; see `KaldiFbank`.

    There is no dither.

    Args:
        front_end: the front end.
        form: see `FrontEnd.cell`.

    Inputs:
        - **waveform** - (B, N), full scale 1, N >= win_length.

    Outputs:
        Features, (B, T, F), T = 1 + (N - win_length) // hop.
    """

    def __init__(self, front_end: KaldiFbank, form: str = "product") -> None:
        super().__init__()
        self.energies = EnergiesCell(front_end, form=form)
        self.floor = FLOOR

    def construct(self, waveform: Tensor) -> Tensor:
        return ops.log(ops.maximum(self.energies(waveform), self.floor)).swapaxes(1, 2)
