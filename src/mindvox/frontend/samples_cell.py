"""Raw samples as a Cell."""

from mindspore import Tensor, nn


class SamplesCell(nn.Cell):
    """Give waveforms the shape of features; see `Samples`.

    Inputs:
        - **waveform** - (B, N), full scale 1.

    Outputs:
        Features, (B, N, 1).
    """

    def construct(self, waveform: Tensor) -> Tensor:
        return waveform.expand_dims(2)
