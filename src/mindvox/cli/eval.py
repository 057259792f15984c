"""Evaluate a checkpoint on a trial list: python eval.py [--config_path FILE] [--key=value ...]."""

from collections.abc import Sequence
from typing import Optional

from mindvox.config import Config, load_config
from mindvox.config.sections import EVALUATION


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print EER and minDCF of plain, mean-subtracted and normalised cosines."""
    config = load_config(Config, argv, shown=EVALUATION)
    from mindvox.scoring.checkpoint import evaluate_checkpoint  # after parsing: importing MindSpore takes seconds

    evaluate_checkpoint(config)
    return 0
