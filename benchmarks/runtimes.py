"""Time of exported models: the C++ program and Embedder's engine beside the runtimes alone and PyTorch.

`python benchmarks/runtimes.py --peer_python PYTHON [--models ecapa_512 campplus] [--threads 1 2] [--rounds 7]`

PYTHON belongs to an environment with torch, SpeechBrain, onnx and, with `--no-deps`, `speakerlab==0.0.6`; the C++
program must be built (bash ascend310_infer/build.sh). One call embeds 1 or 8 utterances of 301 frames of features. The
runtimes alone run two files: this project's ONNX, which takes any batch and length, and PyTorch's own export, which has
the sizes of the case. All run in turn in one run, each in a process of its own, which has as many cores as threads; the
C++ program is started anew for each round and reports its own time for a batch. Weights are random, which the times do
not depend on. Medians are printed as a Markdown table.
"""

import argparse
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import networks_worker
from cpp import NUM_FRAMES, infer, make_data, make_models
from model_worker import settings_of
from workers import Worker

SCRIPT = Path(__file__).resolve().parent / "runtimes_worker.py"
MODELS = {
    "ecapa_512": settings_of(512),
    "ecapa_1024": settings_of(1024),
    "campplus": networks_worker.settings_of("campplus"),
}
BATCHES = (1, 8)
NUM_BATCHES = 16  # of the C++ program in a round; the first ones are slower, so the median counts
SIDES = {  # name: the side of runtimes_worker.py, and the file that it runs
    "Embedder": ("embedder", "model.onnx"),
    "ONNX Runtime": ("onnxruntime", "model.onnx"),
    "OpenVINO": ("openvino", "model.onnx"),
    "ONNX Runtime, PyTorch's export": ("onnxruntime", "peer.onnx"),
    "OpenVINO, PyTorch's export": ("openvino", "peer.onnx"),
    "PyTorch": ("eager", ""),
    "torch.compile": ("compiled", ""),
}
RUNTIMES = [name for name in SIDES if name.startswith(("ONNX Runtime", "OpenVINO"))]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer_python", required=True)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    print(f"| model | batch | threads | C++, ms | {', ms | '.join(SIDES)}, ms | fastest runtime alone / C++ |")
    print("|" + "---|" * (len(SIDES) + 5), flush=True)
    for model in arguments.models:
        for batch in BATCHES:
            with tempfile.TemporaryDirectory() as folder:
                os.sched_setaffinity(0, cores)
                make_models(Path(folder), MODELS[model], ("ONNX",))
                make_data(Path(folder), NUM_BATCHES * batch)
                with Worker(arguments.peer_python, SCRIPT, "eager", "") as peer:
                    peer.ask("export", model=model, batch=batch, num_frames=NUM_FRAMES, path=f"{folder}/peer.onnx")
                for threads in arguments.threads:
                    os.sched_setaffinity(0, cores[:threads])  # also of the processes that are started from now on
                    print(row(model, batch, threads, Path(folder), arguments), flush=True)
    return 0


def row(model: str, batch: int, threads: int, folder: Path, arguments: argparse.Namespace) -> str:
    """Measure one case."""
    times: dict[str, list[float]] = {"C++": [], **{name: [] for name in SIDES}}
    with ExitStack() as stack:
        workers = {}
        for name, (side, file) in SIDES.items():
            python = arguments.peer_python if side in ("eager", "compiled") else sys.executable
            workers[name] = stack.enter_context(Worker(python, SCRIPT, side, str(folder / file)))
            workers[name].ask("prepare", model=model, batch=batch, num_frames=NUM_FRAMES)
        options = ("--data=store", f"--threads={threads}", f"--batch_size={batch}")
        for _ in range(arguments.rounds):
            times["C++"].append(infer(folder, "model.onnx", *options)["latency_ms"]["p50"])
            for name, worker in workers.items():
                times[name].append(1e3 * worker.ask("time", calls=8 // batch)["seconds"])
    medians = {name: statistics.median(each) for name, each in times.items()}
    ratio = min(medians[name] for name in RUNTIMES) / medians["C++"]
    cells = " | ".join(f"{median:.1f}" for median in medians.values())
    return f"| {model} | {batch} | {threads} | {cells} | {ratio:.2f} |"


if __name__ == "__main__":
    sys.exit(main())
