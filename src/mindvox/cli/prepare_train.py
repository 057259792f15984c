"""Prepare training data: python train_data_prepare.py [hparams/prepare_train.yaml] [--key=value ...]."""

from collections.abc import Sequence
from typing import Optional

from mindvox.config import TrainPrepConfig, load_config
from mindvox.data.prepare import prepare_train


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make the utterance tables and the training store."""
    prepare_train(load_config(TrainPrepConfig, argv, check=("front_end",)))
    return 0
