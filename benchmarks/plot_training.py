"""Draw the event files of a training run, without TensorBoard.

`python benchmarks/plot_training.py CKPT/tensorboard FILE.png` needs the extra plots.
"""

import struct
import sys
from collections import defaultdict
from pathlib import Path


def main() -> int:
    """Draw one panel for each kind of number."""
    folder, target = map(Path, sys.argv[1:3])
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    curves = read_scalars(folder)
    if not curves:
        raise SystemExit(f"error: {folder}: no event files with numbers in it.")
    figure, axes = plt.subplots(1, len(curves), figsize=(3.2 * len(curves), 2.8), layout="constrained")
    for axis, (tag, points) in zip(axes, sorted(curves.items()), strict=True):
        axis.plot(*zip(*sorted(points.items()), strict=True), marker="." if len(points) < 30 else None)
        axis.set_title(tag, fontsize=10)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=100)
    return 0


def read_scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Return value by step by tag; of several files, what a later one says of a step counts."""
    from tensorboardX.proto.event_pb2 import Event

    curves: dict[str, dict[int, float]] = defaultdict(dict)
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data, place = path.read_bytes(), 0
        while place + 12 <= len(data):
            (size,) = struct.unpack_from("<Q", data, place)
            event = Event.FromString(data[place + 12 : place + 12 + size])
            place += 16 + size  # a length and its checksum, the event and its checksum
            for value in event.summary.value:
                curves[value.tag][event.step] = value.simple_value
    return curves


if __name__ == "__main__":
    sys.exit(main())
