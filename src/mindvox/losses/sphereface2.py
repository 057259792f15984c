"""SphereFace2 (Wen et al. 2022, arXiv:2108.01513), for speakers: Han et al. 2023, arXiv:2211.16878."""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor

from mindvox.config.option import option
from mindvox.losses.aam_softmax import angular_shift
from mindvox.losses.classifier import MarginClassifier
from mindvox.losses.functions import narrower, softplus


class SphereFace2(MarginClassifier):
    """One binary classification per speaker in place of softmax over all: a weighted sum of cross entropies.

    Args, inputs and outputs are those of `CosineClassifier`.
    """

    @dataclass
    class Options(MarginClassifier.Options):
        """Keys of the section `loss`."""

        margin_type: str = option(
            "C", "quantity to which the margin applies: C for cosines, A for angles", choices=("A", "C")
        )
        positive_share: float = option(
            0.7,
            "weight of the binary decision for the target speaker; the others have 1 - positive_share",
            above=0,
            below=1,
        )
        power: int = option(3, "exponent t in 2 ((c + 1) / 2)^t - 1, which spreads large cosines", minimum=1)

    def __init__(self, emb_size: int, num_classes: int, **keys: Any) -> None:
        super().__init__(emb_size, num_classes, **keys)
        options = self.options
        self.bias = Parameter(Tensor(0.0, ms.float32), name="bias")
        self.is_angular = options.margin_type == "A"
        self.positive_share = options.positive_share
        self.power = options.power

    def value(self, cosine: Tensor, target: Tensor, embedding: Tensor) -> Tensor:
        own, others = self.logits(cosine)
        of_own = self.positive_share * target * softplus(-own)
        of_others = (1 - self.positive_share) * (1 - target) * softplus(others)
        return (of_own + of_others).sum(axis=1).mean()

    def logits(self, cosine: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log odds (B, K) of being the speaker, for the target and for the others."""
        if self.is_angular:
            own = self.scale * self._stretched(angular_shift(cosine, self.margin, "cosine"))
            others = self.scale * self._stretched(narrower(cosine, self.margin))
        else:
            stretched = self._stretched(cosine)
            own, others = self.scale * (stretched - self.margin), self.scale * (stretched + self.margin)
        return own + self.bias, others + self.bias

    def _stretched(self, cosine: Tensor) -> Tensor:
        half = (cosine + 1) / 2
        product = half
        for _ in range(self.power - 1):
            product = product * half
        return 2 * product - 1
