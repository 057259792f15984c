"""Prepare evaluation data: python eval_data_prepare.py [hparams/prepare_eval.yaml] [--key=value ...]."""

from collections.abc import Sequence
from typing import Optional

from mindvox.config import EvalPrepConfig, load_config
from mindvox.data.prepare_eval import prepare_eval
from mindvox.speech.detector import KeepSpeech


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make the tables of a trial list and its cohort, and a store of features for each."""
    config = load_config(EvalPrepConfig, argv, check=("front_end",))
    prepare_eval(config, KeepSpeech.fetched() if config.do_vad and not config.verify else None)
    return 0
