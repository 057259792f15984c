"""train.py where the toys are registered: one process of a run of several."""

import sys

from mindvox.errors import run
from mindvox.registry import LOSSES, MODELS

MODELS.add("mean_model", "tests.toys.mean_model:MeanModel")
LOSSES.add("squared_loss", "tests.toys.squared_loss:SquaredLoss")

if __name__ == "__main__":
    import train

    sys.exit(run(train.main))
