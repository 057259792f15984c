"""Join training stores prepared in parts: python merge_data.py [hparams/prepare_train.yaml] [--key=value ...]."""

from collections.abc import Sequence
from typing import Optional

from mindvox.config import TrainPrepConfig, load_config
from mindvox.data.merge import merge_stores


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Join the stores in `feat_folder` into one in `feat_folder_merge`."""
    merge_stores(load_config(TrainPrepConfig, argv, check=("front_end",)))
    return 0
