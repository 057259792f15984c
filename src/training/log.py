"""The lines that a training run prints."""

import math
import time
from datetime import datetime, timedelta

from tqdm import tqdm


class TrainingLog:
    """Averages loss and accuracy since the last line, prints a line every so many steps, draws a bar on a terminal.

    Args:
        num_batches: batches of an epoch.
        batch_size: utterances of a batch.
        log_steps: steps between lines; the first and the last step have one too.
        num_epochs: epochs of the run, unless it is bound by time.
        span_s: seconds of the run when it is bound by time, else 0.
    """

    def __init__(self, num_batches: int, batch_size: int, log_steps: int, num_epochs: int, span_s: float) -> None:
        self.num_batches = num_batches
        self.batch_size = batch_size
        self.log_steps = log_steps
        self.num_epochs = num_epochs
        self.span_s = span_s
        self.started = self.line_time = time.monotonic()
        self.losses: list[float] = []
        self.accuracies: list[float] = []
        total = None if span_s else num_epochs * num_batches
        self.bar = tqdm(total=total, unit="step", disable=None, leave=False)  # None: no bar outside a terminal

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.started

    def after_step(self, epoch: int, step: int, loss: float, accuracy: float, lrate: float, last: bool = False) -> None:
        """Take in a step, the `step`-th of all, in `epoch` (both counted from 1), and print when a line is due."""
        self.losses.append(loss)
        self.accuracies.append(accuracy)
        self.bar.update()
        if step == 1 or step % self.log_steps == 0 or last:
            tqdm.write(self._line(epoch, step, lrate))
            self.losses, self.accuracies, self.line_time = [], [], time.monotonic()

    def note(self, text: str) -> None:
        """Print a line beside the bar."""
        tqdm.write(text)

    def close(self) -> None:
        """Remove the bar."""
        self.bar.close()

    def _line(self, epoch: int, step: int, lrate: float) -> str:
        steps = len(self.losses)
        rate = steps * self.batch_size / max(time.monotonic() - self.line_time, 1e-9)
        if self.span_s:
            left_s = max(0.0, self.span_s - self.elapsed_s)
            num_epochs = math.ceil(epoch + left_s * rate / self.batch_size / self.num_batches)
        else:
            num_epochs = self.num_epochs
            left_s = (num_epochs * self.num_batches - step) * self.batch_size / rate
        iteration = (step - 1) % self.num_batches + 1
        return (
            f"{datetime.now()}, epoch:{epoch}/{num_epochs}, iter-{iteration}/{self.num_batches}, "
            f"aver loss:{sum(self.losses) / steps:.4f}, cur loss:{self.losses[-1]:.4f}, "
            f"acc_aver:{sum(self.accuracies) / steps:.4f}, lr:{lrate:.3e}, utts/s:{rate:.1f}, "
            f"left:{timedelta(seconds=round(left_s))}"
        )
