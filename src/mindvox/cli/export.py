"""Export a checkpoint: python export.py [--exp_ckpt_file=CHECKPOINT] [--file_name=NAME] [--key=value ...]."""

from collections.abc import Sequence
from typing import Optional

from mindvox.config import Config, load_config
from mindvox.config.sections import EXPORT


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Export as the configuration says."""
    config = load_config(Config, argv, shown=EXPORT)
    from mindvox.deploy.export import export  # after parsing: importing MindSpore takes seconds

    export(config)
    return 0
