"""Export a checkpoint: python export.py [--exp_ckpt_file=CHECKPOINT] [--file_name=NAME] [--key=value ...]."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from mindvox.cli.export import main
from mindvox.errors import run

if __name__ == "__main__":
    sys.exit(run(main))
