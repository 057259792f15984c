"""Triplet loss over unit embeddings (Schroff et al. 2015, arXiv:1503.03832), with voxceleb_trainer's mining."""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, ops

from mindvox.config.option import option
from mindvox.layers.unit_length import unit
from mindvox.losses.batch import TORCH_EPS, BatchObjective
from mindvox.losses.functions import squared_distances

FAR = 1e3  # exceeds any distance of unit vectors
NUM_DRAWS = 1021  # prime, so that batches of every size use all of them
STEP = 389  # offset between the first draws of two updates


class Triplet(BatchObjective):
    """Two utterances of a speaker must be nearer to each other than to another speaker's, by a margin.

    The first utterance of each speaker is the anchor, the second the positive. The negative is another speaker's
    second utterance. With `mining` "hard", a share `hard_prob` of the anchors gets one of the `hard_rank` + 1 nearest,
    and the others any. With "semi_hard", the negative is farther than the positive by less than the margin, or any if
    there is none. The draws depend on the number of the update, so that a resumed run repeats them.

    Args:
        emb_size, num_classes: see `BatchObjective`.
        keys: see `Options`.

    Inputs:
        - **embedding** - (B, emb_size), two consecutive rows of each speaker.
        - **label** - class indices, (B,), int32; not used, because the order of the rows gives the speakers.

    Outputs:
        The mean loss, a scalar, and the negated squared distances of anchors and positives, (N, N).
    """

    @dataclass
    class Options(BatchObjective.Options):
        """Keys of the section `loss`."""

        margin: float = option(
            0.1, "margin on squared distances of unit embeddings, which are 0 to 4", minimum=0, below=4
        )
        mining: str = option("hard", "choice of negatives", choices=("hard", "semi_hard"))
        hard_prob: float = option(0.5, "share of anchors that get a hard negative", minimum=0)
        hard_rank: int = option(10, "greatest rank of a hard negative by nearness, from 0", minimum=0)

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            found = []
            if self.num_utterances != 2:
                found.append(f"num_utterances: expected 2, anchor and positive, got {self.num_utterances}.")
            if self.hard_prob > 1:
                found.append(f"hard_prob: expected at most 1, got {self.hard_prob:g}.")
            return found

    scheduled = ("first_draw",)

    def __init__(self, emb_size: int, num_classes: int, **keys: Any) -> None:
        super().__init__(emb_size, num_classes, **keys)
        options = self.options
        self.margin, self.is_hard = options.margin, options.mining == "hard"
        self.hard_prob, self.hard_rank = options.hard_prob, options.hard_rank
        self.least_speakers = self.hard_rank + 2 if self.is_hard else 2  # one negative for each rank
        self.first_draw = Parameter(Tensor(0.0, ms.float32), name="first_draw", requires_grad=False)
        # Three numbers in [0, 1) per anchor: whether it gets a hard negative, its rank, and the choice otherwise.
        self.draws = Tensor(np.random.default_rng(0).random((NUM_DRAWS, 3)), ms.float32)

    def schedule(self, epochs: float, updates: int = 0, share: float = 0.0) -> dict[str, float]:
        """Return the start of an update in the table of draws."""
        return {"first_draw": float(updates * STEP % NUM_DRAWS)}

    def compare(self, x: Tensor) -> tuple[Tensor, Tensor]:
        distances = squared_distances(unit(x[:, 0]) + TORCH_EPS, unit(x[:, 1]))  # (N, N): of anchors and positives
        negatives = self.negatives(ops.stop_gradient(distances))
        eye = ops.eye(distances.shape[0], distances.shape[0], ms.float32)
        of_positive = (distances * eye).sum(axis=1)
        of_negative = (distances * negatives).sum(axis=1)
        return ops.relu(of_positive - of_negative + self.margin).mean(), -distances

    def negatives(self, distances: Tensor) -> Tensor:
        """Return one-hot rows at the column of each negative, (N, N), for squared distances (N, N)."""
        num_speakers = distances.shape[0]
        rows = (self.first_draw.astype(ms.int32) + ops.arange(num_speakers).astype(ms.int32)) % NUM_DRAWS
        is_hard, of_rank, of_any = ops.split(self.draws[rows], 1, axis=1)  # (N, 1) each
        eye = ops.eye(num_speakers, num_speakers, ms.float32)
        any_rank = ops.floor(of_any * (num_speakers - 1))
        if self.is_hard:
            hard_rank = ops.floor(of_rank * (self.hard_rank + 1))
            return self._at_rank(distances + FAR * eye, ops.where(is_hard < self.hard_prob, hard_rank, any_rank))
        own = (distances * eye).sum(axis=1, keepdims=True)
        is_semi = ops.logical_and(distances > own, distances < own + self.margin).astype(ms.float32) * (1 - eye)
        count = is_semi.sum(axis=1, keepdims=True)
        rank = ops.where(count > 0, ops.floor(of_rank * count), any_rank)
        # Semi-hard negatives come first; if there are none, all do.
        return self._at_rank(distances + FAR * eye + FAR / 10 * (1 - is_semi), rank)

    def _at_rank(self, distances: Tensor, rank: Tensor) -> Tensor:
        """Return one-hot rows at the column of the entry with this rank, (N, 1), by nearness."""
        _, order = ops.topk(-distances, distances.shape[0])  # (N, N), the nearest first
        places = ops.arange(distances.shape[0]).astype(ms.float32).expand_dims(0)
        chosen = ((places == rank).astype(ms.float32) * order.astype(ms.float32)).sum(axis=1, keepdims=True)
        return (places == chosen).astype(ms.float32)
