"""A front end and a model as one Cell, from waveforms to embeddings."""

from mindspore import Tensor, nn, ops

from mindvox.frontend import FrontEnd
from mindvox.frontend.frames import INSTANCE_EPS


class WaveformModel(nn.Cell):
    """Compute and normalise features, then apply a model.

    Args:
        front_end: computes the features and names their normalisation.
        model: a Cell that takes features as `FrontEnd.finish` returns them.
        form: form of the front end's Cell, see `FrontEnd.cell`.

    Inputs:
        - **waveform** - (B, N), full scale 1; see the front end's Cell.

    Outputs:
        The model's outputs.
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
            # Divide by 1 where all values are 0. A comparison, because MindSpore Lite has no `where` with a number.
            feats = feats / (peak + (peak <= 0).astype(peak.dtype))
        elif self.normalisation != "none":
            feats = feats - feats.mean(axis=1, keep_dims=True)
        if self.normalisation == "instance":
            # Subtract the mean of the result: in a nearly constant bin, the rounding error of the first mean matters.
            feats = feats - feats.mean(axis=1, keep_dims=True)
            feats = feats / ops.sqrt(ops.square(feats).mean(axis=1, keep_dims=True) + INSTANCE_EPS)
        return self.model(feats)
