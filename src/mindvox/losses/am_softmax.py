"""Additive margin softmax (Wang et al. 2018, arXiv:1801.05599; CosFace, arXiv:1801.09414)."""

from mindspore import Tensor

from mindvox.losses.margin_softmax import MarginSoftmax


class AmSoftmax(MarginSoftmax):
    """Cross entropy over scaled cosines, with the margin subtracted from the target's cosine.

    With margin 0 and scale 1 it is mvector's CELoss over cosines. Args, inputs and outputs are those of
    `MarginSoftmax`.
    """

    def shift(self, cosine: Tensor) -> Tensor:
        """Return the target's cosine minus the margin."""
        return cosine - self.margin
