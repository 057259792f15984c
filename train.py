"""Train ECAPA-TDNN on a training store: python train.py [--config_path FILE] [--key=value ...]."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from mindvox.cli.train import main
from mindvox.errors import run

if __name__ == "__main__":
    sys.exit(run(main))
