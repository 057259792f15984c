"""A model of features behind its front end: from waveforms to embeddings."""

from mindspore import Tensor, nn, ops

from mindvox.frontend import FrontEnd
from mindvox.frontend.frames import INSTANCE_EPS


class WaveformModel(nn.Cell):
    """A model of features behind its front end.

    Args:
        front_end: waveforms to features, and how these are normalised.
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
        self.normalisation = front_end.normalisation
        self.model = model

    def construct(self, waveform: Tensor) -> Tensor:
        feats = self.front_end(waveform)
        if self.normalisation == "peak":
            peak = ops.amax(ops.abs(feats), 1, keepdims=True)
            # Where all are zero, one; compared, because MindSpore Lite has no `where` of a number.
            feats = feats / (peak + (peak <= 0).astype(peak.dtype))
        elif self.normalisation != "none":
            feats = feats - feats.mean(axis=1, keep_dims=True)
        if self.normalisation == "instance":
            # The rounding of a mean in single precision would count where a bin hardly changes: take what is left.
            feats = feats - feats.mean(axis=1, keep_dims=True)
            feats = feats / ops.sqrt(ops.square(feats).mean(axis=1, keep_dims=True) + INSTANCE_EPS)
        return self.model(feats)
