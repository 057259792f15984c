"""The interface of training objectives."""

from typing import Any, Optional

import numpy as np
from mindspore import Parameter, Tensor, nn

from mindvox.errors import InputError
from mindvox.losses.functions import share_of_hits


class Objective(nn.Cell):
    """A training objective with its weights; a subclass is one file and one line in the registry.

    A subclass is built from (emb_size, num_classes, **keys of its `Options`).

    Inputs:
        - **embedding** - (B, emb_size).
        - **label** - class indices, (B,), int32.

    Outputs:
        The mean loss, a scalar, and the scores that `accuracy` needs beside the labels.

    Attributes:
        scheduled: names of parameters that `schedule` sets. They have no gradient and are not saved.
        utterances_per_speaker: number of consecutive rows of one speaker in a batch, who occurs in no other row; the
            sampler must provide this. None: any batch is accepted. An objective with a number compares the embeddings
            of a batch with each other, so it gets those of all devices.
        least_speakers: fewest speakers of such a batch.
    """

    scheduled: tuple[str, ...] = ()
    utterances_per_speaker: Optional[int] = None
    least_speakers: int = 2

    def accuracy(self, score: Tensor, label: Tensor) -> Tensor:
        """Return the share of rows whose greatest score is at their label, a scalar."""
        return share_of_hits(score, label)

    def schedule(self, epochs: float, updates: int = 0, share: float = 0.0) -> dict[str, float]:
        """Return the value of each scheduled parameter after this many epochs and updates.

        `share` is the finished share of the run, from 0 to 1.
        """
        return {}

    def adapt(self, arrays: dict[str, np.ndarray], before: dict[str, Any]) -> dict[str, np.ndarray]:
        """Return a checkpoint's arrays "loss.*" for this objective, when training starts from it.

        Args:
            arrays: arrays of a checkpoint with the same speakers.
            before: section `loss` of that checkpoint.

        Raises:
            InputError: they belong to an objective of another kind.
        """
        return arrays

    def speaker_vectors(self) -> Parameter:
        """Return the classifier's vector of each class, (classes, emb_size), which embeddings are compared with.

        Raises:
            InputError: this objective has no such vectors.
        """
        raise InputError(
            "imprint_utterances: this objective has no vector of each speaker in the space of embeddings: set "
            "imprint_utterances: 0, or an objective with a classifier by cosine, such as loss.name: aam_softmax."
        )
