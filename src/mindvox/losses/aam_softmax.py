"""Additive angular margin softmax (Deng et al. 2019, arXiv:1801.07698)."""

from mindspore import Tensor, ops

from mindvox.losses.margin_softmax import MarginSoftmax


class AamSoftmax(MarginSoftmax):
    """Cross entropy over scaled cosines, the target's angle enlarged by the margin.

    Sub-centres: Deng et al. 2020, Sub-center ArcFace, ECCV. Inter-top-k: Zhao et al. 2022, arXiv:2110.05042. Args,
    inputs and outputs are those of `MarginSoftmax`.
    """

    def shift(self, cosine: Tensor) -> Tensor:
        """Return cos(theta + margin) of the target's cosine."""
        shifted = cosine * ops.cos(self.margin) - ops.sqrt(1 - ops.square(cosine)) * ops.sin(self.margin)
        # Past theta = pi - m the shifted cosine would rise again; subtracting a constant keeps it falling.
        return ops.where(cosine > -ops.cos(self.margin), shifted, cosine - ops.sin(self.margin) * self.margin)
