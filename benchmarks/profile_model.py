"""Where the time goes: operators of one training step and one forward pass, by MindSpore's own profiler.

`python benchmarks/profile_model.py [--channels 1024] [--batch 8] [--top 12]`
"""

import argparse
import csv
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from model import NUM_FRAMES, operations
from model_worker import NUM_MELS, NUM_SPEAKERS, MindSpore

RUNS = 3


def operators(call: Callable[[], object]) -> list[tuple[str, float, float]]:
    """Return name, calls and milliseconds of every kind of operator in one call, slowest first."""
    from mindspore import profiler

    call()
    with tempfile.TemporaryDirectory() as folder:
        with profiler.profile(
            activities=[profiler.ProfilerActivity.CPU], on_trace_ready=profiler.tensorboard_trace_handler(folder)
        ) as profile:
            for _ in range(RUNS):
                call()
                profile.step()
        (table,) = Path(folder).glob("*/FRAMEWORK/cpu_op_type_info_*.csv")
        with table.open(encoding="utf-8") as file:
            rows = [
                (row["op_type"], int(row["type_occurrences"]) / RUNS, float(row["total_compute_time"]) / RUNS)
                for row in csv.DictReader(file)
            ]
    return sorted(rows, key=lambda row: -row[2])


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--top", type=int, default=12)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    feats = rng.standard_normal((arguments.batch, NUM_FRAMES, NUM_MELS)).astype(np.float32)
    label = rng.integers(NUM_SPEAKERS, size=arguments.batch)
    framework = MindSpore()
    forward, step = framework.forward(arguments.channels), framework.step(arguments.channels)
    for name, call, passes in (("forward", lambda: forward(feats), 1), ("step", lambda: step(feats, label), 3)):
        rows = operators(call)
        total_ms = sum(row[2] for row in rows)
        rate = passes * arguments.batch * operations(arguments.channels, NUM_FRAMES) / total_ms / 1e6
        print(f"\n{name}, C = {arguments.channels}, batch {arguments.batch}, {NUM_FRAMES} frames: ", end="")
        print(f"{total_ms:.0f} ms in operators, {rate:.0f} GFLOP/s\n")
        print("| operator | calls | ms | share |\n|---|---|---|---|")
        for operator, calls, time_ms in rows[: arguments.top]:
            print(f"| {operator} | {calls:.0f} | {time_ms:.1f} | {time_ms / total_ms:.1%} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
