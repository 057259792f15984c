"""Evaluate a checkpoint on a trial list: python eval.py [--config_path FILE] [--key=value ...]."""

import sys
from collections.abc import Sequence
from typing import Optional

from src.config import Config, load_config
from src.config.sections import EVALUATION
from src.errors import run


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print EER and minDCF of the plain, the mean-subtracted and the normalised cosine."""
    config = load_config(Config, argv, shown=EVALUATION)
    from src.scoring.checkpoint import evaluate_checkpoint  # after the arguments are right: MindSpore takes seconds

    evaluate_checkpoint(config)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
