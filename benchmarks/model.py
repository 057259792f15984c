"""Time and memory of model and training step, beside SpeechBrain on PyTorch and the machine's matrix products.

`python benchmarks/model.py --peer_python PYTHON [--rounds 7] [--channels 512 1024] [--parts products cases lengths]`
`python benchmarks/model.py --old_checkout FOLDER --rounds 15`

PYTHON belongs to an environment with torch and SpeechBrain, which is measured as it is and compiled by torch.compile.
All run in turn in one run, each in a process of its own with two threads; medians are printed as Markdown tables. With
--old_checkout, this checkout is compared with another commit of the project instead of the peer.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from workers import Worker, alternate

SCRIPT = Path(__file__).resolve().parent / "model_worker.py"
NUM_FRAMES = 301
CASES = (("forward", 1), ("forward", 8), ("step", 8), ("step", 32))
VERSION_CASES = tuple((what, batch) for what in ("forward", "step") for batch in (1, 8, 32))
PRODUCT_OPERATIONS = 2 * 1024 * 1024 * 2408


def operations(channels: int, num_frames: int) -> float:
    """Floating-point operations of one forward pass over one utterance, products only, two a multiply-add.

    The attention's first product is counted with its context once an utterance, as both the paper's result and a sane
    implementation need it.
    """
    width = channels // 8
    blocks = 3 * (2 * channels**2 + 7 * 3 * width**2)
    frame = 5 * 80 * channels + blocks + (3 * channels) ** 2 + 2 * 128 * 3 * channels
    utterance = 3 * 2 * 128 * channels + 128 * 6 * channels + 192 * 6 * channels
    return 2.0 * (frame * num_frames + utterance)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    other = parser.add_mutually_exclusive_group(required=True)
    other.add_argument("--peer_python")
    other.add_argument("--old_checkout", type=Path, help="a git worktree of the commit to compare with")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--channels", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--parts", nargs="+", choices=("products", "cases", "lengths"), default=["products", "cases"])
    parser.add_argument("--num_utterances", type=int, default=5000, help="of the part `lengths`")
    arguments = parser.parse_args()
    if arguments.old_checkout:
        measure_versions(arguments.old_checkout, arguments.channels, arguments.rounds)
        return 0

    def start(*peers: str) -> list[Worker]:
        ours = Worker(sys.executable, SCRIPT, "mindspore")
        return [ours, *(Worker(arguments.peer_python, SCRIPT, peer) for peer in peers)]

    peak = measure_products(start, arguments.rounds) if "products" in arguments.parts else None
    if "cases" in arguments.parts:
        measure_cases(start, arguments.channels, arguments.rounds, peak)
    if "lengths" in arguments.parts:
        for channels in arguments.channels:
            measure_lengths(start, channels, arguments.num_utterances)
    return 0


def measure_products(start, rounds: int) -> float:
    """Print the rates of matrix products and return the fastest, operations a second."""
    rates = {}
    ours, peer = start("speechbrain")
    with ours, peer:
        for name, worker, kind in (
            ("np.matmul", ours, "numpy"),
            ("ops.matmul", ours, "framework"),
            ("torch.mm", peer, "framework"),
        ):
            worker.ask("prepare_product", kind=kind)
            rates[name] = PRODUCT_OPERATIONS / alternate([worker], 5 * rounds, "time", calls=5)[0]
    print("product of 1024 x 1024 by 1024 x 2408, float32, GFLOP/s: ", end="")
    print(", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in rates.items()), "\n", flush=True)
    return max(rates.values())


def measure_cases(start, all_channels: list[int], rounds: int, peak: float | None) -> None:
    """Print time and memory of every case."""
    sides = ("ours", "SpeechBrain", "compiled")
    print(f"| C | case | {', s | '.join(sides)}, s | SpeechBrain / ours | compiled / ours | share of peak ", end="")
    print(f"| memory, GiB: {' | '.join(sides)} |\n|{'---|' * 11}", flush=True)
    for channels in all_channels:
        for what, batch in CASES:
            with ExitStack() as stack:
                workers = [stack.enter_context(worker) for worker in start("speechbrain", "compiled")]
                for worker in workers:
                    worker.ask("prepare", what=what, channels=channels, batch=batch, num_frames=NUM_FRAMES)
                calls = 8 if (what, batch) == ("forward", 1) else 1
                seconds = alternate(workers, rounds, "time", calls=calls)
                memory = [worker.ask("memory")["memory_gib"] for worker in workers]
            ours, eager, compiled = seconds
            work = operations(channels, NUM_FRAMES) * batch * (3 if what == "step" else 1)
            share = f"{work / ours / peak:.0%}" if peak else "-"
            cells = [f"{each:.3f}" for each in seconds] + [f"{eager / ours:.2f}", f"{compiled / ours:.2f}", share]
            cells += [f"{each:.2f}" for each in memory]
            print(f"| {channels} | {what}, batch {batch} | {' | '.join(cells)} |", flush=True)


def measure_versions(old_checkout: Path, all_channels: list[int], rounds: int) -> None:
    """Print the times of this checkout and another, and the median of the ratios of their turns."""
    print("| C | case | old, s | new, s | old / new, median of the turns | least | greatest |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for channels in all_channels:
        for what, batch in VERSION_CASES:
            scripts = (old_checkout / "benchmarks" / SCRIPT.name, SCRIPT)
            old, new = (Worker(sys.executable, script, "mindspore") for script in scripts)
            with old, new:
                for worker in (old, new):
                    worker.ask("prepare", what=what, channels=channels, batch=batch, num_frames=NUM_FRAMES)
                calls = 8 // batch or 1
                turns = [[worker.ask("time", calls=calls)["seconds"] for worker in (old, new)] for _ in range(rounds)]
            times = np.array(turns)  # (rounds, 2)
            ratios, (old_s, new_s) = times[:, 0] / times[:, 1], np.median(times, axis=0)
            print(
                f"| {channels} | {what}, batch {batch} | {old_s:.3f} | {new_s:.3f} | {np.median(ratios):.2f} "
                f"| {ratios.min():.2f} | {ratios.max():.2f} |",
                flush=True,
            )


def measure_lengths(start, channels: int, num_utterances: int) -> None:
    """Print rate and memory of embedding utterances of 150 to 2,000 frames one by one, in ten turns each."""
    rng = np.random.default_rng(0)
    lengths = np.resize(rng.permutation(np.arange(150, 2001)), num_utterances)
    ours, peer = start("speechbrain")
    with ours, peer:
        before = [worker.ask("prepare_lengths", channels=channels)["memory_gib"] for worker in (ours, peer)]
        seconds = np.zeros((10, 2))
        for turn, part in enumerate(np.array_split(lengths, 10)):
            for side, worker in enumerate((ours, peer)):
                seconds[turn, side] = worker.ask("embed", lengths=part.tolist())["seconds"]
        after = [worker.ask("memory")["memory_gib"] for worker in (ours, peer)]
    our_rate, peer_rate = num_utterances / seconds.sum(axis=0)
    print(f"\nC = {channels}, {num_utterances} utterances of {len(set(lengths.tolist()))} lengths, one by one:")
    print(f"ours {our_rate:.2f} utterances/s, one graph, peak memory {before[0]:.2f} -> {after[0]:.2f} GiB;")
    print(f"SpeechBrain {peer_rate:.2f} utterances/s, {before[1]:.2f} -> {after[1]:.2f} GiB;")
    print(f"ratio of rates, median of ten turns: {np.median(seconds[:, 1] / seconds[:, 0]):.2f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
