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
        emb_size: size of an embedding.
        num_classes: training speakers K.
        keys: see `Options`.

    Inputs:
        - **embedding** - (B, emb_size), `num_utterances` rows of each speaker, one behind the other.
        - **label** - class indices, (B,), int32.

    Outputs:
        The mean loss, a scalar, and the classifier's outputs, (B, K).
    """

    @dataclass
    class Options:
        """Keys of the section `loss`."""

        num_utterances: int = option(2, "utterances of each speaker in a batch, as the sampler gives", minimum=2)
        initial_w: float = option(10.0, "factor on the cosines before training", above=0)
        initial_b: float = option(-5.0, "offset of the cosines before training")

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
