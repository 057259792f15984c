"""Export a checkpoint: python export.py [--exp_ckpt_file=CHECKPOINT] [--file_name=NAME] [--key=value ...]."""

import sys
from collections.abc import Sequence
from typing import Optional

from src.config import Config, load_config
from src.config.sections import EXPORT
from src.errors import run


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Export as the configuration says."""
    config = load_config(Config, argv, shown=EXPORT)
    from src.deploy.export import export  # after the arguments are right: MindSpore takes seconds to import

    export(config)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
