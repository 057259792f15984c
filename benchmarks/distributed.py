"""Two training processes with a thread each, beside one process with two threads: samples/s of one global batch.

python benchmarks/distributed.py [--channels 512] [--batch 32] [--steps 50] [--frames 201] [--speakers 7205]

The pair is started by msrun as `mindvox train-distributed` starts it. One process and the pair take turns: while
one works, the other waits. Prints the medians and the pair's share of the one's samples/s.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

ROUND = 10  # steps in a turn


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Measure, or be one of the measured processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--batch", type=int, default=32, help="utterances of the global batch")
    parser.add_argument("--frames", type=int, default=201)
    parser.add_argument("--speakers", type=int, default=7205)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--turns", help="folder of the files that pass the turn; what marks a measured process")
    parser.add_argument("--ranks", type=int, default=1)
    arguments = parser.parse_args(argv)
    return work(arguments) if arguments.turns else compare(arguments)


def compare(arguments: argparse.Namespace) -> int:
    """Start the pair and the single process, let them take turns, and print the medians."""
    from mindvox.training.launch import Job, Processes, choose_port
    from mindvox.training.rank_table import read_rank_table

    table = read_rank_table(ROOT / "hparams" / "rank_table_cpu_2.json")
    job = Job(table, table.servers[0], choose_port(None, may_change=True), "CPU")
    with tempfile.TemporaryDirectory() as folder:
        words = [f"--{name}={value}" for name, value in vars(arguments).items() if value and name != "ranks"]
        words += [f"--turns={folder}"]
        command = job.command(Path(folder), [*words, "--ranks=2"], program=Path(__file__).resolve())
        pair = Processes(command, job.environment(os.environ), Path(folder) / "msrun.log")
        one = subprocess.Popen([sys.executable, __file__, *words, "--ranks=1"], env={**os.environ, "GLOG_v": "3"})
        try:
            medians = take_turns(Path(folder), arguments.steps // ROUND, (one, pair.msrun))
        finally:
            one.kill()
            pair.kill()
    rates = {name: arguments.batch / seconds for name, seconds in medians.items()}
    print(f"one process, two threads: {rates['1']:.2f} samples/s")
    print(f"two processes, one thread each: {rates['2']:.2f} samples/s")
    print(f"pair / one: {rates['2'] / rates['1']:.3f}")
    return 0


def take_turns(folder: Path, rounds: int, processes: Sequence[subprocess.Popen]) -> dict[str, float]:
    """Give the turn to one process and to the pair, `rounds` times, and return the medians of their steps' seconds."""
    seconds: dict[str, list[float]] = {"1": [], "2": []}
    for index in range(rounds + 1):  # the first compiles
        for name, found in seconds.items():
            (folder / f"go-{name}-{index}").touch()
            answer = folder / f"done-{name}-{index}"
            while not answer.exists():
                if any(process.poll() is not None for process in processes):
                    raise RuntimeError("a measured process has ended; run one by hand with --turns to see why.")
                time.sleep(0.05)
            found += json.loads(answer.read_text()) if index else []
    return {name: statistics.median(found) for name, found in seconds.items()}


def work(arguments: argparse.Namespace) -> int:
    """Take steps whenever it is this process's turn."""
    import mindspore as ms
    import numpy as np
    from mindspore import Tensor

    from mindvox.config import Config, load_config
    from mindvox.models import create_model
    from mindvox.training.step import make_step
    from mindvox.training.world import join_world

    size = arguments.batch // arguments.ranks
    options = [f"--channels={arguments.channels}", "--device_target=CPU", f"--run_distribute={arguments.ranks > 1}"]
    config = load_config(Config, options)
    target, world = join_world(config)
    ms.set_seed(0)
    step = make_step(
        config,
        create_model(config.model.to_dict(), target),
        config.loss.build(config.model.options.emb_size, arguments.speakers),
        world.size,
    )
    step.set_train()
    rng = np.random.default_rng(world.rank)
    feats = Tensor(rng.standard_normal((size, arguments.frames, config.model.options.in_channels)).astype(np.float32))
    label = Tensor(rng.integers(arguments.speakers, size=size).astype(np.int32))
    folder, index = Path(arguments.turns), 0
    while True:
        while not (folder / f"go-{arguments.ranks}-{index}").exists():
            time.sleep(0.05)
        seconds = []
        for _ in range(ROUND):
            begin = time.perf_counter()
            step(feats, label)[0].asnumpy()
            seconds.append(time.perf_counter() - begin)
        if world.is_first:
            answer = folder / f"done-{arguments.ranks}-{index}"
            answer.with_suffix(".part").write_text(json.dumps(seconds))
            answer.with_suffix(".part").rename(answer)
        index += 1


if __name__ == "__main__":
    sys.exit(main())
