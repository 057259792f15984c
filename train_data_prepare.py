#!/usr/bin/env python
"""Prepare training data: python train_data_prepare.py [hparams/prepare_train.yaml] [--key=value ...]."""

import sys
from collections.abc import Sequence
from typing import Optional

from src.config import TrainPrepConfig, load_config
from src.data.prepare import prepare_train
from src.errors import run


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make the utterance tables and the training store."""
    prepare_train(load_config(TrainPrepConfig, argv))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
