"""A model of features behind its front end: from waveforms to embeddings."""

from mindspore import Tensor, nn

from mindvox.frontend import FrontEnd


class WaveformModel(nn.Cell):
    """A model of features behind its front end.

    Args:
        front_end: waveforms to features, and what is subtracted from these.
        model: features as `FrontEnd.finish` returns them, to whatever it returns.
        form: of the front end's Cell, see `FrontEnd.cell`.

    Inputs:
        - **waveform** - (B, N), full scale 1; see the Cell of the front end.

    Outputs:
        The model's.
    """

    def __init__(self, front_end: FrontEnd, model: nn.Cell, form: str = "product") -> None:
        super().__init__(auto_prefix=False)
        self.front_end = front_end.cell(form)
        self.subtracts_mean = front_end.subtracts_mean
        self.model = model

    def construct(self, waveform: Tensor) -> Tensor:
        feats = self.front_end(waveform)
        if self.subtracts_mean:
            feats = feats - feats.mean(axis=1, keep_dims=True)
        return self.model(feats)
