"""Time of the seeds' networks, forward and training step, beside the same networks in PyTorch.

`python benchmarks/networks.py --peer_python PYTHON [--rounds 7] [--networks resnet campplus] [--threads 2]`

PYTHON belongs to an environment with `torch==2.13.0` and, installed with `--no-deps`, `speakerlab==0.0.6`, whose
ResNet34, CAM++ and ERes2NetV2 are measured; the others are written in networks_worker.py with PyTorch's own layers.
A forward pass of ours is measured in MindSpore, and in ONNX Runtime, where eval.py embeds on a CPU. All run in turn in
one run, each in a process of its own; medians are printed as a Markdown table.
"""

import argparse
import sys
from pathlib import Path

from workers import Worker, alternate

SCRIPT = Path(__file__).resolve().parent / "networks_worker.py"
NETWORKS = ("resnet", "campplus", "eres2netv2", "resnetse34v2", "rawnet2", "ge2e_lstm")
CASES = (("forward", 1), ("forward", 8), ("step", 8))
HEAD = (
    "network",
    "case",
    "MindSpore, s",
    "ONNX Runtime, s",
    "PyTorch, s",
    "PyTorch / MindSpore",
    "PyTorch / ONNX Runtime",
)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer_python", required=True)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="cores of each process")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: a hint on a machine with load")
    arguments = parser.parse_args()
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)
    for network in arguments.networks:
        for what, batch in CASES:
            with Team(arguments, with_onnx=what == "forward") as team:
                for worker in team.workers:
                    worker.ask("prepare", network=network, what=what, batch=batch)
                calls = 4 if batch == 1 else 1
                seconds = alternate(team.workers, arguments.rounds, "time", calls=calls, clock=arguments.clock)
            ours, *onnx, peer = seconds
            print(
                f"| {network} | {what}, batch {batch} | {ours:.3f} | {onnx[0]:.3f} | {peer:.3f} | {peer / ours:.2f} "
                f"| {peer / onnx[0]:.2f} |"
                if onnx
                else f"| {network} | {what}, batch {batch} | {ours:.3f} | - | {peer:.3f} | {peer / ours:.2f} | - |",
                flush=True,
            )
    return 0


class Team:
    """The processes of one case: MindSpore, ONNX Runtime if it takes part, PyTorch."""

    def __init__(self, arguments: argparse.Namespace, with_onnx: bool) -> None:
        sides = ["mindspore", *(["onnxruntime"] if with_onnx else []), "torch"]
        self.workers = [
            Worker(arguments.peer_python if side == "torch" else sys.executable, SCRIPT, side, cores=arguments.threads)
            for side in sides
        ]

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.workers:
            worker.__exit__(*error)


if __name__ == "__main__":
    sys.exit(main())
