"""Additive angular margin softmax (Deng et al. 2019, arXiv:1801.07698)."""

from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, ops

from mindvox.config.option import option
from mindvox.losses.functions import wider
from mindvox.losses.margin_softmax import MarginSoftmax

FALLBACKS = ("sine", "cosine")


class AamSoftmax(MarginSoftmax):
    """Cross entropy over scaled cosines, with the margin added to the target's angle.

    Sub-centres: Deng et al. 2020, Sub-center ArcFace, ECCV. Inter-top-k: Zhao et al. 2022, arXiv:2110.05042. Args,
    inputs and outputs are those of `MarginSoftmax`.
    """

    @dataclass
    class Options(MarginSoftmax.Options):
        """Keys of the section `loss`."""

        easy_margin: bool = option(False, "apply no margin if the target's angle exceeds 90 degrees")
        fallback: str = option(
            "sine",
            "value subtracted from the target's cosine beyond pi - margin, without easy_margin: margin * sin(margin) "
            "as in SpeechBrain and voxceleb_trainer, or 1 - cos(margin) as in wespeaker, 3D-Speaker and mvector",
            choices=FALLBACKS,
        )

    def __init__(self, emb_size: int, num_classes: int, **keys: Any) -> None:
        super().__init__(emb_size, num_classes, **keys)
        self.easy_margin = self.options.easy_margin
        self.fallback = self.options.fallback

    def shift(self, cosine: Tensor) -> Tensor:
        """Return cos(theta + margin) of the target's cosine."""
        return angular_shift(cosine, self.margin, self.fallback, self.easy_margin)


def angular_shift(cosine: Tensor, margin: Tensor, fallback: str, easy_margin: bool = False) -> Tensor:
    """Return cos(theta + margin), replaced by a falling function where it would rise; see `AamSoftmax.Options`."""
    shifted = wider(cosine, margin)
    if easy_margin:
        return ops.where(cosine > 0, shifted, cosine)
    # Past theta = pi - m the shifted cosine would rise again; subtracting a constant keeps it falling.
    constant = ops.sin(margin) * margin if fallback == "sine" else 1 - ops.cos(margin)
    return ops.where(cosine > -ops.cos(margin), shifted, cosine - constant)
