#!/usr/bin/env python
"""Join training stores prepared in parts: python merge_data.py [hparams/prepare_train.yaml] [--key=value ...]."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from mindvox.cli.prepare_merge import main
from mindvox.errors import run

if __name__ == "__main__":
    sys.exit(run(main))
