"""The printed lines of a training run, and its event files."""

import math
import time
from datetime import datetime
from types import TracebackType
from typing import Optional, Protocol, Union

from tqdm import tqdm

from mindvox.config import Config
from mindvox.data.pipeline import TrainBatches
from mindvox.progress import duration, quantity
from mindvox.training.position import Position
from mindvox.training.tensorboard import EventFile

TRIVIAL_LOSS = 1e-3
TRIVIAL_STEPS = 5  # falling losses with all utterances right in the first FIRST_STEPS: real speech is not so easy
FIRST_STEPS = 20


class ValidationResult(Protocol):
    """The result of a validation."""

    @property
    def eer(self) -> float:
        """Equal error rate, a fraction."""

    @property
    def threshold(self) -> float:
        """Score at the equal error rate."""

    @property
    def min_dcf(self) -> float:
        """Normalised minDCF at p = 0.01."""


class TrainingLog:
    """Averages loss and accuracy between lines, prints two lines per interval, and draws a bar on a terminal.

    Args:
        config: gives the intervals, the run's length, and whether event files are written.
        batches: batches of the run.
        start: position at which the session starts.
        is_first: whether this rank prints and writes; the others only measure time.
    """

    def __init__(self, config: Config, batches: TrainBatches, start: Position, is_first: bool = True) -> None:
        self.log_steps = config.log_steps
        self.num_epochs = config.num_epochs
        self.span_s = config.max_train_minutes * 60
        self.batches = batches
        self.is_first = is_first
        self.first_step = start.step + 1
        self.is_new = start.step == 0 and not config.pre_trained
        self.num_trivial = 0
        self.earlier_s = start.elapsed_s
        self.started = self.line_time = time.monotonic()
        self.losses: list[float] = []
        self.accuracies: list[float] = []
        self.epoch_losses: list[float] = []
        self.epoch_accuracies: list[float] = []
        total = None if self.span_s else start.step + self._batches_left(start)
        # disable=None: no bar unless stderr is a terminal
        self.bar = tqdm(total=total, initial=start.step, unit="step", disable=None if is_first else True, leave=False)
        wants_events = config.tensorboard and is_first
        self.events = EventFile(f"{config.ckpt_save_dir}/tensorboard", self.first_step) if wants_events else None

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.bar.close()
        if self.events:
            self.events.close()

    @property
    def elapsed_s(self) -> float:
        """Seconds of training, including earlier sessions."""
        return self.earlier_s + time.monotonic() - self.started

    def after_step(
        self,
        position: Position,
        loss: float,
        accuracy: float,
        lrate: float,
        scheduled: dict[str, float],
        last: bool = False,
    ) -> None:
        """Record a step that led to `position`; print if a line is due, as after the first and the last step."""
        self.losses.append(loss)
        self.accuracies.append(accuracy)
        self.epoch_losses.append(loss)
        self.epoch_accuracies.append(accuracy)
        self.bar.update()
        self._watch(position.step, loss, accuracy)
        if position.step == self.first_step or position.step % self.log_steps == 0 or last:
            self._report(position, lrate, scheduled)
            self.losses, self.accuracies, self.line_time = [], [], time.monotonic()
        if position.record == 0 or last:
            self._report_epoch(position)
            self.epoch_losses, self.epoch_accuracies = [], []

    def after_validation(self, position: Position, result: ValidationResult, took_s: float) -> None:
        """Print a validation's result; its duration does not count in utterances/s."""
        self.line_time += took_s
        best = "best so far" if position.best_step == position.step else f"best:{position.best_eer:.4f}"
        self.note(f"{datetime.now()}, step {position.step}: valid eer:{result.eer:.4f}, {best}, in {took_s:.1f} s")
        if self.events:
            values = {"valid eer": result.eer, "valid threshold": result.threshold, "valid mindcf": result.min_dcf}
            self.events.add(position.step, values)

    def note(self, text: str) -> None:
        """Print a line beside the bar."""
        if self.is_first:
            tqdm.write(text)

    def _watch(self, step: int, loss: float, accuracy: float) -> None:
        """Warn once if a new model classifies all speakers correctly from its first steps."""
        if not self.is_new or step > FIRST_STEPS:
            return
        self.num_trivial = self.num_trivial + 1 if accuracy == 1 and loss < TRIVIAL_LOSS else 0
        if self.num_trivial == TRIVIAL_STEPS:
            self.is_new = False
            self.note(
                f"warning: loss {loss:.4f}, accuracy 1 since step {step - TRIVIAL_STEPS + 1}: no speech is so easy.\n"
                "  Check the training data: labels, and whether speakers differ only by silence or format.",
            )

    def _report(self, position: Position, lrate: float, scheduled: dict[str, float]) -> None:
        """Print the model zoo's line and one more; the first line gives the compilation time instead of a rate."""
        steps, took_s = len(self.losses), max(time.monotonic() - self.line_time, 1e-9)
        rate = steps * self.batches.global_size / took_s if position.step > self.first_step else None
        loss, accuracy = sum(self.losses) / steps, sum(self.accuracies) / steps
        speed = (
            f"utts/s:{rate:.1f}, left:{duration(self._left_s(position, rate))}"
            if rate
            else f"first step:{took_s:.1f} s, compilation included"
        )
        self.note(
            f"{datetime.now()}, {self._place(position, rate)}, aver loss:{loss:.4f}, cur loss:{self.losses[-1]:.4f}, "
            f"acc_aver:{accuracy:.4f}\n  lr:{lrate:.3e}, {speed}"
        )
        if self.events:
            measures = {"loss": loss, "accuracy": accuracy, "learning rate": lrate, **scheduled}
            self.events.add(position.step, measures | ({"utterances per second": rate} if rate else {}))

    def _report_epoch(self, position: Position) -> None:
        """Print the means over an epoch's steps in this session; the model zoo's `grep "loss: "` finds this line."""
        steps = len(self.epoch_losses)
        loss, accuracy = sum(self.epoch_losses) / steps, sum(self.epoch_accuracies) / steps
        place = f"epoch:{position.running_epoch}, mean of {quantity(steps, 'step')}"
        self.note(f"{datetime.now()}, {place}, loss: {loss:.4f}, acc: {accuracy:.4f}")

    def _place(self, position: Position, rate: Optional[float]) -> str:
        num_batches, epoch = self.batches.num_batches(), position.running_epoch
        num_epochs: Union[int, str] = self.num_epochs
        if rate is None:
            num_epochs = "?" if self.span_s else self.num_epochs
        elif self.span_s:
            batches_left = self._left_s(position, rate) * rate / self.batches.global_size
            num_epochs = math.ceil(epoch + batches_left / num_batches)
        iteration = position.record // self.batches.global_size or num_batches
        return f"epoch:{epoch}/{num_epochs}, iter-{iteration}/{num_batches}"

    def _left_s(self, position: Position, rate: float) -> float:
        if self.span_s:
            return max(0.0, self.span_s - self.elapsed_s)
        return self._batches_left(position) * self.batches.global_size / rate

    def _batches_left(self, position: Position) -> int:
        later = (self.num_epochs - position.epoch - 1) * self.batches.num_batches()
        return self.batches.num_batches(position.record) + later
