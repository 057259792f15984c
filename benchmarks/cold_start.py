"""Seconds from the command to the answer: `python benchmarks/cold_start.py A B [--model MODEL] [--rounds 7]`.

`mindvox verify A B` in a new process, beside bare ONNX Runtime: a process that imports it and NumPy, opens the model
with the defaults, and runs it on features of 3 s, twice. In turn, medians.
--before CHECKOUT adds the command of another checkout of this project. --peer_python PYTHON adds what a peer does
before it has a model: PYTHON imports torch and speechbrain.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from mindvox.embedder import DEFAULT_MODEL
from mindvox.engines.exported import ExportedModel, find_exported

ANSWERED = (0, 3, 4)  # exit codes of `mindvox verify`
VERIFY = "from mindvox.cli import console; raise SystemExit(console())"
BARE = """
import sys
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
feats = numpy.zeros((1, 298, int(sys.argv[2])), numpy.float32)
for _ in range(2):
    session.run(None, {session.get_inputs()[0].name: feats})
"""
PEER = "import torch, speechbrain.inference.speaker"


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", metavar="A")
    parser.add_argument("second", metavar="B")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a model that takes features")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT")
    parser.add_argument("--peer_python", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    model = find_exported(arguments.model)
    num_feats = ExportedModel.read(model).inputs[0]["shape"][-1]
    verify = [sys.executable, "-c", VERIFY, "verify", arguments.first, arguments.second, f"--model={arguments.model}"]
    here = Path(__file__).resolve().parents[1]
    cases = {
        "mindvox verify": (verify, here),
        "bare ONNX Runtime": ([sys.executable, "-c", BARE, str(model), str(num_feats)], here),
    }
    if arguments.before:
        cases["mindvox verify, before"] = (verify, arguments.before.resolve())
    if arguments.peer_python:
        cases["import torch and speechbrain"] = ([arguments.peer_python, "-c", PEER], here)
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(arguments.rounds + 1):
        for name, (command, checkout) in cases.items():
            taken = timed(command, checkout)
            if turn:  # the first turn reads the files into memory
                seconds[name].append(taken)
    print("| | median, s | least, s | most, s | share of `mindvox verify` |\n|---|---|---|---|---|")
    ours = statistics.median(seconds["mindvox verify"])
    for name, taken in seconds.items():
        median = statistics.median(taken)
        print(f"| {name} | {median:.2f} | {min(taken):.2f} | {max(taken):.2f} | {median / ours:.2f} |")
    return 0


def timed(command: list[str], checkout: Path) -> float:
    """Return the seconds that a command takes with the package of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
    taken = time.perf_counter() - started
    if done.returncode not in ANSWERED:
        raise SystemExit(f"{command[:3]}: exit code {done.returncode}; see above.")
    return taken


if __name__ == "__main__":
    sys.exit(main())
