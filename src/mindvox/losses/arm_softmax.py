"""Additive real margin softmax (Zhang et al. 2021, "Real Additive Margin Softmax for Speaker Verification",
arXiv:2110.09116), as mvector has it."""

from mindspore import Tensor, ops

from mindvox.losses.am_softmax import AmSoftmax


class ArmSoftmax(AmSoftmax):
    """Additive margin softmax in which classes below the target's margin have logit 0.

    Only classes above the target's cosine minus the margin are pushed away. Args, inputs and outputs are those of
    `MarginSoftmax`.
    """

    def logits(self, cosine: Tensor, target: Tensor) -> Tensor:
        """Return the logits of the softmax, (B, K)."""
        logits = super().logits(cosine, target)
        own = (target * logits).sum(axis=1, keepdims=True)
        return ops.where(logits < own, ops.zeros_like(logits), logits)
