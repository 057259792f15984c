"""Base classes of objectives that compare the embeddings of a batch with each other."""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor

from mindvox.config.option import checked, option
from mindvox.losses.functions import cross_entropy, own_rows, share_of_hits
from mindvox.losses.objective import Objective

TORCH_EPS = 1e-6  # torch's pairwise distance adds it to each difference


class BatchObjective(Objective):
    """An objective without a classifier; subclasses define the comparison.

    Args:
        emb_size: embedding size; no part of the objective depends on it.
        num_classes: number of training speakers; no part of the objective depends on it.
        keys: see `Options`.

    Inputs:
        - **embedding** - (B, emb_size), B = N speakers x `num_utterances` consecutive rows each.
        - **label** - class indices, (B,), int32; not used, because the order of the rows gives the speakers.

    Outputs:
        The mean loss, a scalar, and scores (N, N) of which row i is compared with i.
    """

    @dataclass
    class Options:
        """Keys of the section `loss`."""

        num_utterances: int = option(
            2, "number of utterances per speaker in a batch; must match the sampler", minimum=2
        )

    def __init__(self, emb_size: int, num_classes: int, **keys: Any) -> None:
        super().__init__()
        self.options: Any = checked(self.Options(**keys))
        self.utterances_per_speaker = self.options.num_utterances

    def construct(self, embedding: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        embedding = embedding.astype(ms.float32)
        return self.compare(embedding.reshape(-1, self.utterances_per_speaker, embedding.shape[1]))

    def compare(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and scores of embeddings (N, num_utterances, emb_size)."""
        raise NotImplementedError

    def accuracy(self, score: Tensor, label: Tensor) -> Tensor:
        """Return the share of rows (N, N) whose greatest score is on the diagonal."""
        return share_of_hits(score, own_rows(score))


class ScaledCosines(BatchObjective):
    """Cross entropy of softmax over w * cosine + b with trained w and b; subclasses define the cosines.

    Args, inputs and outputs are those of `BatchObjective`.
    """

    @dataclass
    class Options(BatchObjective.Options):
        """Keys of the section `loss`."""

        initial_w: float = option(10.0, "initial value of the factor on the cosines", above=0)
        initial_b: float = option(-5.0, "initial value of the offset of the cosines")

    def __init__(self, emb_size: int, num_classes: int, **keys: Any) -> None:
        super().__init__(emb_size, num_classes, **keys)
        self.w = Parameter(Tensor(self.options.initial_w, ms.float32), name="w")
        self.b = Parameter(Tensor(self.options.initial_b, ms.float32), name="b")

    def loss_of(self, cosine: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of cosines (R, N), with target (R, N) that is 1 at the right class."""
        return cross_entropy(cosine * self.w + self.b, target)


def mean_of_others(x: Tensor) -> Tensor:
    """Return the mean of all but the first utterance of each speaker, (N, D), for x (N, M, D)."""
    return x[:, 1:].mean(axis=1)
