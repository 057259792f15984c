"""Softmax and the angular prototypical loss together, as voxceleb_trainer trains ResNetSE34V2."""

from dataclasses import dataclass
from typing import Any

from mindspore import Tensor

from mindvox.config.option import checked, option
from mindvox.losses.angular_prototypical import AngularPrototypical
from mindvox.losses.objective import Objective
from mindvox.losses.softmax import Softmax


class SoftmaxPrototypical(Objective):
    """The sum of `Softmax` over every utterance and `AngularPrototypical` over the batch.

    Args:
        emb_size: embedding size.
        num_classes: training speakers K.
        keys: see `Options`.

    Inputs:
        - **embedding** - (B, emb_size), `num_utterances` consecutive rows of each speaker.
        - **label** - class indices, (B,), int32.

    Outputs:
        The mean loss, a scalar, and the classifier's outputs, (B, K).
    """

    @dataclass
    class Options:
        """Keys of the section `loss`."""

        num_utterances: int = option(
            2, "number of utterances per speaker in a batch; must match the sampler", minimum=2
        )
        initial_w: float = option(10.0, "initial value of the factor on the cosines", above=0)
        initial_b: float = option(-5.0, "initial value of the offset of the cosines")

    def __init__(self, emb_size: int, num_classes: int, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        self.utterances_per_speaker = options.num_utterances
        self.softmax = Softmax(emb_size, num_classes)
        self.prototypical = AngularPrototypical(emb_size, num_classes, **vars(options))

    def construct(self, embedding: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        of_all, score = self.softmax(embedding, label)
        of_batch, _ = self.prototypical(embedding, label)
        return of_all + of_batch, score
