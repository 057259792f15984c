"""Train ECAPA-TDNN on a training store: python train.py [--config_path FILE] [--key=value ...]."""

import sys
from collections.abc import Sequence
from typing import Optional

from src.config import Config, load_config
from src.config.sections import TRAINING
from src.errors import run


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Train as the configuration says."""
    config = load_config(Config, argv, shown=TRAINING, check=("model", "loss", "sampler"))
    from src.scoring.validation import make_validation  # after the arguments are right: MindSpore takes seconds
    from src.training.loop import train
    from src.training.world import leave_world

    train(config, make_validation)
    leave_world(config)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
