"""How far two processes' losses are from one's with both batches, with ordinary batch norm and with a frozen one.

python benchmarks/batch_norm.py STORE [--channels 64] [--batch 32] [--epochs 4]

STORE is a training store. The same utterances are in the same order in every run: those of a step of the pair are those
of a step of the one. Prints the relative differences of the losses, step by step, and their median and maximum.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import numpy as np

ROOT = Path(__file__).resolve().parent.parent


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Train alone and as a pair, with either kind of batch norm, and print how the losses differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32, help="utterances of the global batch")
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args(argv)
    options = [
        f"--train_data_path={arguments.store.absolute()}",
        f"--channels={arguments.channels}",
        f"--num_epochs={arguments.epochs}",
        *("--train_frames=201", "--base_lrate=1e-5", "--max_lrate=1e-4", "--step_size=100"),
        *("--device_target=CPU", "--log_steps=1", "--save_checkpoint_epochs=0", "--tensorboard=false"),
    ]
    pair = ["bash", str(ROOT / "scripts/run_distribute_train.sh"), str(ROOT / "hparams/rank_table_cpu_2.json")]
    for kind in ("frozen", "local"):
        options_of_kind = [*options, f"--batch_norm={kind}"]
        one = losses([sys.executable, str(ROOT / "train.py"), *options_of_kind, f"--minibatch_size={arguments.batch}"])
        two = losses([*pair, *options_of_kind, f"--minibatch_size={arguments.batch // 2}"])
        differences = np.abs(two - one) / one
        print(f"batch_norm={kind}, {len(one)} steps: {' '.join(f'{value:.2%}' for value in differences)}")
        print(f"  median {100 * np.median(differences):.2g} %, maximum {100 * differences.max():.2g} %", flush=True)
    return 0


def losses(command: Sequence[str]) -> np.ndarray:
    """Train in a folder that is thrown away, and return the loss of every step."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    return np.array([float(loss) for loss in re.findall(r"cur loss:(\S+),", done.stdout)])


if __name__ == "__main__":
    sys.exit(main())
