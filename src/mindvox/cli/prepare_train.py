"""Prepare training data: python train_data_prepare.py [hparams/prepare_train.yaml] [--key=value ...]."""

from collections.abc import Sequence
from typing import Optional

from mindvox.config import TrainPrepConfig, load_config
from mindvox.data.prepare import prepare_train
from mindvox.speech.detector import KeepSpeech


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make the utterance tables and the training store."""
    config = load_config(TrainPrepConfig, argv, check=("front_end",))
    prepare_train(config, KeepSpeech.fetched() if config.do_vad and not config.verify else None)
    return 0
