#!/usr/bin/env python
"""Prepare evaluation data: python eval_data_prepare.py [hparams/prepare_eval.yaml] [--key=value ...]."""

import sys
from collections.abc import Sequence
from typing import Optional

from src.config import EvalPrepConfig, load_config
from src.data.prepare_eval import prepare_eval
from src.errors import run


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make the tables of a trial list and its cohort, and a store of features for each."""
    prepare_eval(load_config(EvalPrepConfig, argv))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
