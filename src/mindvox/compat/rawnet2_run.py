"""Train RawNet2 and write the output folder of its Ascend port.

As a program, it is one of several ranks: `python rawnet2_run.py FOLDER SAMPLES PROCESSES --config_path=FILE ...`.
"""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Optional, TextIO

import numpy as np
from mindspore import nn

from mindvox.compat.rawnet2_folder import BEST, OutputFolder
from mindvox.config import Config, load_config
from mindvox.config.sections import SECTIONS
from mindvox.errors import UsageError, run
from mindvox.files import atomic_path, write_json
from mindvox.scoring.validation import Validation, ValidationResult, make_validation
from mindvox.training.checkpoints import CheckpointWriter
from mindvox.training.log import ValidationResult as Measured
from mindvox.training.loop import Observer, train
from mindvox.training.position import Position
from mindvox.training.world import leave_world

LOG_EVERY = 20  # steps between two lines of loss
UNTIMED = 5  # first steps of an epoch, excluded from FPS


class KeptScores:
    """A validation that keeps the scores of its last call."""

    def __init__(self, validation: Validation) -> None:
        self.validation = validation
        self.scores = np.empty(0)

    def __call__(self, trained: nn.Cell) -> ValidationResult:
        self.scores = self.validation.scores(trained)
        return self.validation.measure(self.scores)


class FolderWriter(Observer):
    """Writes logs, EERs, scores and checkpoints of each epoch. Epochs count from 0, as in the port.

    Args:
        folder: the output folder, which exists.
        utts_per_step: number of utterances per step of all devices together.
        samples_per_utt: mean length of the training recordings, samples; the port's FPS counts whole recordings.
        num_devices, num_epochs: sizes of the run.
    """

    def __init__(
        self, folder: OutputFolder, utts_per_step: int, samples_per_utt: float, num_devices: int, num_epochs: int
    ) -> None:
        self.folder = folder
        self.utts_per_step = utts_per_step
        self.samples_per_utt = samples_per_utt
        self.num_devices = num_devices
        self.num_epochs = num_epochs
        self.kept: Optional[KeptScores] = None
        self.epoch = -1
        self.stream: Optional[TextIO] = None
        self.ends: list[float] = []

    def after_step(self, position: Position, loss: float) -> None:
        epoch = position.running_epoch - 1
        if epoch != self.epoch:
            self._begin(epoch, is_new=position.record == self.utts_per_step)
        self.ends.append(time.perf_counter())
        if len(self.ends) % LOG_EVERY == 0:
            self._write(f"Epoch:[{epoch}/{self.num_epochs}] \t loss = {loss:.3f} \t")
        if position.record == 0:
            self._end_epoch()

    def after_validation(self, position: Position, result: Measured, checkpoints: CheckpointWriter) -> None:
        epoch, kept = position.running_epoch - 1, self.kept
        assert kept is not None, "there is a validation"
        self._write(f"eer:{result.eer}/epoch")
        with atomic_path(self.folder.results / f"eval_epoch{epoch}.txt") as temporary:
            pairs = zip(kept.scores, kept.validation.trials.is_target, strict=True)
            temporary.write_text("".join(f"{score} {target:d}\n" for score, target in pairs), encoding="utf-8")
        with open(self.folder.eers, "a", encoding="utf-8") as stream:
            stream.write(f"epoch:{epoch}, TA_eval_eer:{result.eer:.4f}\n")
        checkpoints.write_as(self.folder.models / f"TA_{epoch}_{result.eer:.4f}.ckpt", position)
        if position.best_step == position.step:
            print(f"New best TA_EER: {result.eer:f}", flush=True)
            _link(self.folder.models / "best.ckpt", self.folder.models / BEST)

    def close(self) -> None:
        """End the log of the last epoch."""
        if self.stream is not None:
            self.stream.close()

    def _begin(self, epoch: int, is_new: bool) -> None:
        self.close()
        path = self.folder.log / f"eval_epoch{epoch}.txt"
        self.stream = open(path, "w" if is_new else "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - open for an epoch
        self.epoch, self.ends = epoch, []
        self._write("Start Training!")

    def _write(self, text: str) -> None:
        assert self.stream is not None, "an epoch has begun"
        self.stream.write(f"[{datetime.now():%Y-%m-%d %H:%M:%S}][INFO{text}]\n")

    def _end_epoch(self) -> None:
        first = min(UNTIMED, len(self.ends) - 2)
        if first >= 0:
            steps, seconds = len(self.ends) - 1 - first, self.ends[-1] - self.ends[first]
            rate = steps * self.utts_per_step / seconds
            fps = rate * self.samples_per_utt / (1000 * self.num_devices)
            self._write(f"FPS:{fps:.2f}/epoch")
            print(f"FPS:{fps:.2f}/epoch, {rate:.1f} utts/s", flush=True)
        write_json(self.folder.prof / f"trace_epoch{self.epoch}.json", trace_of(self.ends))


def trace_of(ends: Sequence[float]) -> dict[str, Any]:
    """Return the steps of an epoch except the first, in the format of Chrome's trace viewer.

    Args:
        ends: end times of the steps, s.
    """
    events = []
    for number, (start, end) in enumerate(zip(ends[:-1], ends[1:], strict=True), 2):
        times = {"ts": 1e6 * (start - ends[0]), "dur": 1e6 * (end - start)}  # microseconds
        events.append({"name": f"step {number}", "ph": "X", "pid": 0, "tid": 0, **times})
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _link(source: Path, target: Path) -> None:
    """Link a file under another name, or copy it if the disk has no links; training replaces `source` by a new file."""
    with atomic_path(target) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def train_into(folder: OutputFolder, config: Config, samples_per_utt: float, num_devices: int) -> None:
    """Train as the configuration says, as one of `num_devices` ranks, and write the folder of the experiment."""
    utts_per_step = config.minibatch_size * num_devices
    writer = FolderWriter(folder, utts_per_step, samples_per_utt, num_devices, config.num_epochs)

    def make_kept(*arguments: Any) -> Optional[KeptScores]:
        validation = make_validation(*arguments)
        writer.kept = None if validation is None else KeptScores(validation)
        return writer.kept

    try:
        train(config, make_kept, writer)
    finally:
        writer.close()
    leave_world(config)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Train as one of several ranks."""
    words = list(sys.argv[1:] if argv is None else argv)
    if len(words) < 3 or words[0].startswith("-"):
        raise UsageError("usage: rawnet2_run.py FOLDER SAMPLES PROCESSES --config_path=FILE; the launcher calls it.")
    folder, samples_per_utt, num_devices = OutputFolder(Path(words[0])), float(words[1]), int(words[2])
    config = load_config(Config, words[3:], check=SECTIONS)
    train_into(folder, config, samples_per_utt, num_devices)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
