"""Speed of the ONNX that two commits write of one checkpoint, in OpenVINO and ONNX Runtime.

`python benchmarks/onnx_versions.py --old_checkout FOLDER [--rounds 15] [--channels 512 1024] [--batches 1]`

FOLDER is a git worktree of the commit to compare with. Each commit's own export.py writes its file; both files are
loaded by this checkout, each in a process of its own that waits between its turns. Utterances have 3 s. The times and
the median of the ratios of the turns are printed as a Markdown table.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from workers import Worker

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = Path(__file__).resolve().parent / "onnx_worker.py"
NUM_FRAMES = 301
LIBRARIES = ("openvino", "onnxruntime")
TOLERANCE = 1e-5  # of the greatest value: between the two files


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old_checkout", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--channels", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--batches", type=int, nargs="+", default=[1])
    arguments = parser.parse_args()
    print("| C | library, batch | old, ms | new, ms | old / new, median of the turns | least | greatest |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for channels in arguments.channels:
        with tempfile.TemporaryDirectory() as folder:
            files = write_models(arguments.old_checkout.resolve(), Path(folder), channels)
            for library in LIBRARIES:
                for batch in arguments.batches:
                    print(measure(files, channels, library, batch, arguments.rounds), flush=True)
    return 0


def write_models(old_checkout: Path, folder: Path, channels: int) -> list[Path]:
    """Export a checkpoint, which both commits read, by each of them: the old one's file, then the new one's."""
    checkpoint = folder / "train_ecapa_vox12-1_1.ckpt"
    with Worker(sys.executable, SCRIPT, "checkpoint", str(old_checkout)) as worker:
        worker.ask("write", path=str(checkpoint), channels=channels)
    files = []
    for name, checkout in (("old", old_checkout), ("new", ROOT)):
        file = folder / name / "model.onnx"
        file.parent.mkdir()
        sizes = [f"--channels={channels}", "--batch_size=0", "--length=0", "--device_target=CPU"]
        command = [sys.executable, "export.py", f"--exp_ckpt_file={checkpoint}", f"--file_name={file}", *sizes]
        subprocess.run([*command, "--file_format=ONNX"], cwd=checkout, check=True, stdout=subprocess.DEVNULL)
        files.append(file)
    return files


def measure(files: list[Path], channels: int, library: str, batch: int, rounds: int) -> str:
    """Return a row of the table.

    Raises:
        RuntimeError: the two files give other embeddings.
    """
    old, new = (Worker(sys.executable, SCRIPT, "engine", str(file), library) for file in files)
    with old, new:
        first, second = (
            np.array(worker.ask("prepare", batch=batch, num_frames=NUM_FRAMES)["embedding"]) for worker in (old, new)
        )
        difference = np.abs(first - second).max() / np.abs(first).max()
        if not difference <= TOLERANCE:
            raise RuntimeError(f"C = {channels}, {library}: the embeddings differ by {difference:.3g} of the greatest.")
        calls = 8 // batch or 1
        turns = [[worker.ask("time", calls=calls)["seconds"] for worker in (old, new)] for _ in range(rounds)]
    times = 1000 * np.array(turns)  # (rounds, 2)
    ratios, (old_ms, new_ms) = times[:, 0] / times[:, 1], np.median(times, axis=0)
    return (
        f"| {channels} | {library}, {batch} | {old_ms:.1f} | {new_ms:.1f} | {np.median(ratios):.2f} "
        f"| {ratios.min():.2f} | {ratios.max():.2f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
