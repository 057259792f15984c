"""Speed of the C++ program beside SpeechBrain on PyTorch: throughput, from recordings, and start-up.

`python benchmarks/cpp.py --peer_python PYTHON [--rounds 20] [--channels 512 1024] [--threads 2]`

PYTHON belongs to an environment with torch and SpeechBrain. Rounds alternate: SpeechBrain's eager forward pass of
1 x 301 x 80 in a process that stays up, then the program in float32, then in bfloat16, over a store of 3 s utterances,
one at a time. The program is started anew for every round; its own time per utterance leaves loading out. Models have
random weights, which the time does not depend on. Medians are printed as a Markdown table.
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
from typing import Any

import numpy as np
import soundfile
from model_worker import settings_of
from workers import Worker

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

PROGRAM = ROOT / "ascend310_infer" / "build" / "ecapa_infer"
SCRIPT = Path(__file__).resolve().parent / "model_worker.py"
NUM_FRAMES, SAMPLE_RATE = 301, 16000


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer_python", required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--channels", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--utterances", type=int, default=16, help="in a round")
    arguments = parser.parse_args()
    subprocess.run(["bash", ROOT / "ascend310_infer" / "build.sh"], check=True)

    print(
        "| C | SpeechBrain, ms | C++ float32, ms | bfloat16, ms | float32 faster by | bfloat16 faster by "
        "| from recordings, float32, times real time | start to first embedding, s: IR | ONNX | IR, cached |"
    )
    print("|" + "---|" * 10, flush=True)
    for channels in arguments.channels:
        with tempfile.TemporaryDirectory() as folder:
            print(row(channels, Path(folder), arguments), flush=True)
    return 0


def row(channels: int, folder: Path, arguments: argparse.Namespace) -> str:
    """Measure one size of model."""
    make_models(folder, settings_of(channels), ("IR", "ONNX"))
    make_data(folder, arguments.utterances)
    threads = f"--threads={arguments.threads}"
    peer_ms, float_ms, bfloat_ms, real_time = [], [], [], []
    starts: dict[str, list[float]] = {"model.xml": [], "model.onnx": [], "cached": []}
    with Worker(arguments.peer_python, SCRIPT, "speechbrain") as peer:
        peer.ask("prepare", what="forward", channels=channels, batch=1, num_frames=NUM_FRAMES)
        for _ in range(arguments.rounds):
            peer_ms.append(1e3 * peer.ask("time", calls=8)["seconds"])
            float_ms.append(infer(folder, "model.xml", "--data=store", threads)["latency_ms"]["p50"])
            bfloat = infer(folder, "model.xml", "--data=store", threads, "--precision=bf16")
            bfloat_ms.append(bfloat["latency_ms"]["p50"])
            real_time.append(infer(folder, "model.xml", "--wav_list=wav", threads)["times_real_time"])
            for name, options in (("model.xml", ()), ("model.onnx", ()), ("cached", ("--cache_dir=cache",))):
                start = time.perf_counter()
                infer(folder, "model.xml" if name == "cached" else name, "--wav_list=one.txt", threads, *options)
                starts[name].append(time.perf_counter() - start)
    peer, exact, rough = (statistics.median(values) for values in (peer_ms, float_ms, bfloat_ms))
    seconds = " | ".join(f"{statistics.median(values):.2f}" for values in starts.values())
    return (
        f"| {channels} | {peer:.1f} | {exact:.1f} | {rough:.1f} | {peer / exact:.2f} | {peer / rough:.2f} "
        f"| {statistics.median(real_time):.1f} | {seconds} |"
    )


def make_models(folder: Path, settings: dict[str, Any], file_formats: Sequence[str]) -> None:
    """Export a model with random weights, for any batch and length: model.xml, model.onnx."""
    import mindspore as ms

    from mindvox.frontend.fbank import Fbank
    from mindvox.models import create_model
    from mindvox.models.checkpoint import checkpoint_path, write_checkpoint

    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    state = {f"model.{parameter.name}": parameter for parameter in create_model(settings).get_parameters()}
    meta = {"model": settings, "front_end": Fbank().to_dict(), "speakers_sha256": "0", "epoch": 1, "step": 1}
    checkpoint = checkpoint_path(folder, settings["name"], 1, 1)
    write_checkpoint(checkpoint, state, meta)
    for file_format in file_formats:
        options = (f"--file_format={file_format}", "--length=0", "--batch_size=0")
        command = [sys.executable, ROOT / "export.py", f"--exp_ckpt_file={checkpoint}", "--file_name=model", *options]
        subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)


def make_data(folder: Path, num_utterances: int) -> None:
    """Write a store of 3 s utterances, and recordings of as many."""
    from mindvox.data.eval_store import EvalStoreWriter
    from mindvox.frontend.fbank import Fbank

    fbank, rng = Fbank(), np.random.default_rng(0)
    (folder / "wav").mkdir()
    with EvalStoreWriter(folder / "store", Fbank().to_dict()) as writer:
        for row_no in range(num_utterances):
            waveform = rng.uniform(-0.3, 0.3, (NUM_FRAMES - 1) * SAMPLE_RATE // 100).astype(np.float32)
            soundfile.write(folder / "wav" / f"{row_no}.flac", waveform, SAMPLE_RATE)
            writer.add(str(row_no), "s", fbank(waveform))
    (folder / "one.txt").write_text("wav/0.flac\n")


def infer(folder: Path, model: str, *options: str) -> dict:
    """Run the program and return its report."""
    command = [PROGRAM, f"--model={model}", "--output=out", *options]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=os.environ)
    return json.loads((folder / "out" / "report.json").read_text())


if __name__ == "__main__":
    sys.exit(main())
