"""Train a model on a training store: python train.py [--config_path FILE] [--key=value ...]."""

from collections.abc import Sequence
from typing import Optional

from mindvox.config import Config, load_config
from mindvox.config.sections import SECTIONS, TRAINING


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Train as the configuration says."""
    config = load_config(Config, argv, shown=TRAINING, check=SECTIONS)
    from mindvox.scoring.validation import make_validation  # after parsing: importing MindSpore takes seconds
    from mindvox.training.loop import train
    from mindvox.training.world import leave_world

    train(config, make_validation)
    leave_world(config)
    return 0
