"""What training asks of an objective."""

from typing import Any, Optional

import numpy as np
from mindspore import Tensor, nn

from mindvox.losses.functions import share_of_hits


class Objective(nn.Cell):
    """A training objective with its own weights; a subclass is one file and one line in the registry.

    A subclass is built from (emb_size, num_classes, **keys of its `Options`).

    Inputs:
        - **embedding** - (B, emb_size).
        - **label** - class indices, (B,), int32.

    Outputs:
        The mean loss, a scalar, and what `accuracy` needs beside the labels.

    Attributes:
        scheduled: names of parameters that `schedule` sets. They take no gradient and are not saved.
        utterances_per_speaker: so many rows of a batch, one behind the other, are of one speaker, and no other row is;
            the sampler must see to that. None: the batch may be anything. An objective with a number compares the
            embeddings of a batch with each other, so it is given those of all devices.
        least_speakers: the fewest speakers of such a batch.
    """

    scheduled: tuple[str, ...] = ()
    utterances_per_speaker: Optional[int] = None
    least_speakers: int = 2

    def accuracy(self, score: Tensor, label: Tensor) -> Tensor:
        """Return the share of rows whose greatest score is at their label, a scalar."""
        return share_of_hits(score, label)

    def schedule(self, epochs: float, updates: int = 0, share: float = 0.0) -> dict[str, float]:
        """Return the value of each scheduled parameter after so many epochs, which are so many updates.

        `share` is the share of the run that is done then, from 0 to 1.
        """
        return {}

    def adapt(self, arrays: dict[str, np.ndarray], before: dict[str, Any]) -> dict[str, np.ndarray]:
        """Return a checkpoint's arrays "loss.*" for this objective, when training starts from it.

        Args:
            arrays: of a checkpoint of the same speakers.
            before: the section `loss` of that checkpoint.

        Raises:
            InputError: they are of another kind.
        """
        return arrays
