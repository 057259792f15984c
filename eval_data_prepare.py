#!/usr/bin/env python
"""Prepare evaluation data: python eval_data_prepare.py [hparams/prepare_eval.yaml] [--key=value ...]."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from mindvox.cli.prepare_eval import main
from mindvox.errors import run

if __name__ == "__main__":
    sys.exit(run(main))
