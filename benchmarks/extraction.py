"""How extraction over files scales: `python benchmarks/extraction.py FOLDER [--model MODEL] [--workers 2]`.

In turn over the same recordings: the bare engine on features that are ready, one process of one thread, and several
processes of one thread each. Wall time says how fast it is where nothing else runs. Processor time says what each
recording costs; times N over the processes' own is the speed-up that N free cores would give.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

from mindvox.corpus.audio import read_audio
from mindvox.corpus.sources import recordings_below
from mindvox.embedder import DEFAULT_MODEL
from mindvox.extraction import EmbedderChoice, Workers, extract, opened

ROUNDS = 3


class Cost(NamedTuple):
    """Seconds of one run: by the clock on the wall, and of all processors together."""

    wall_s: float
    processor_s: float


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args(argv)
    choice, corpus = EmbedderChoice(arguments.model, num_threads=1), recordings_below(arguments.folder)
    embedder = opened(choice)
    paths = [Path(corpus.folder, recording.wav) for recording in corpus.recordings]
    feats = [embedder.front_end.finish(embedder.front_end(read_audio(path).waveform))[None] for path in paths]

    def bare() -> None:
        for one in feats:
            embedder.engine.encode(one)

    def by(num_processes: int) -> Callable[[], None]:
        def work() -> None:
            with tempfile.TemporaryDirectory() as folder:
                made = extract(choice, corpus, Path(folder), workers=Workers(num_processes))
            assert np.isfinite(made.embeddings.vectors).all()

        return work

    cases = {
        "engine alone": bare,
        "1 process": by(1),
        f"{arguments.workers} processes": by(arguments.workers),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in cases}
    for _ in range(arguments.rounds):
        for name, work in cases.items():
            costs[name].append(_measured(work))
    print(f"{len(paths)} recordings, {embedder.engine.name}, load {os.getloadavg()[0]:.1f}")
    print("| | wall, s | processors, s | recordings/s |\n|---|---|---|---|")
    for name, measured in costs.items():
        wall_s, processor_s = (statistics.median(values) for values in zip(*measured, strict=True))
        print(f"| {name} | {wall_s:.2f} | {processor_s:.2f} | {len(paths) / wall_s:.1f} |")
    one, many = costs["1 process"], costs[f"{arguments.workers} processes"]
    by_wall, by_processor = (
        statistics.median(cost[clock] for cost in one) / statistics.median(cost[clock] for cost in many)
        for clock in range(2)
    )
    free = f"with {arguments.workers} free cores {by_processor * arguments.workers:.2f}"
    print(f"speed-up by the wall {by_wall:.2f}, {free}")
    return 0


def _measured(work: Callable[[], None]) -> Cost:
    before, start = os.times(), time.perf_counter()
    work()
    wall_s, after = time.perf_counter() - start, os.times()
    return Cost(wall_s, sum(after[:4]) - sum(before[:4]))  # with processes that have ended


if __name__ == "__main__":
    raise SystemExit(main())
