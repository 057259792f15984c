"""train.py where the toys are registered: one process of a run of several.

With WITHOUT_COMPILING in the environment, it steps in PyNative mode.
"""

import os
import sys

from mindvox.errors import run
from mindvox.registry import LOSSES, MODELS

MODELS.add("mean_model", "tests.toys.mean_model:MeanModel")
LOSSES.add("squared_loss", "tests.toys.squared_loss:SquaredLoss")

if __name__ == "__main__":
    if "WITHOUT_COMPILING" in os.environ:
        import mindspore as ms

        ms.GRAPH_MODE = ms.PYNATIVE_MODE
    import train

    sys.exit(run(train.main))
