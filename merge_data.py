#!/usr/bin/env python
"""Join training stores prepared in parts: python merge_data.py [hparams/prepare_train.yaml] [--key=value ...]."""

import sys
from collections.abc import Sequence
from typing import Optional

from src.config import TrainPrepConfig, load_config
from src.data.merge import merge_stores
from src.errors import run


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Join the stores in `feat_folder` into one in `feat_folder_merge`."""
    merge_stores(load_config(TrainPrepConfig, argv))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
