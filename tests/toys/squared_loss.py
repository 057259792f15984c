"""An objective of one file: squared distances from a centre of each speaker, within a radius that grows."""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, ops

from mindvox.config.option import checked, option
from mindvox.losses.functions import cross_entropy
from mindvox.losses.objective import Objective


class SquaredLoss(Objective):
    """Cross entropy over negated squared distances from each speaker's centre, sharpened by a scheduled factor."""

    @dataclass
    class Options:
        """Keys of the section `loss`."""

        sharpness: float = option(1.0, "factor on the distances at the end", above=0)

    scheduled = ("factor",)

    def __init__(self, emb_size: int, num_classes: int, **keys: Any) -> None:
        super().__init__()
        self.options = checked(self.Options(**keys))
        self.centers = Parameter(Tensor(np.random.standard_normal((num_classes, emb_size)), ms.float32), name="centers")
        self.factor = Parameter(Tensor(self.options.sharpness, ms.float32), name="factor", requires_grad=False)

    def construct(self, embedding: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        distance = ops.square(embedding.astype(ms.float32).expand_dims(1) - self.centers).sum(axis=2)
        target = ops.one_hot(label, distance.shape[1], Tensor(1.0, ms.float32), Tensor(0.0, ms.float32))
        return cross_entropy(-self.factor * distance, target), -distance

    def schedule(self, epochs: float, updates: int = 0, share: float = 0.0) -> dict[str, float]:
        return {"factor": self.options.sharpness * min(1.0, 0.5 + 0.5 * epochs)}
