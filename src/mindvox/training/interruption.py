"""Ctrl-C and SIGTERM in the middle of a training run."""

import os
import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Any, Optional

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ECHO_S = 1.0


class Interruption:
    """Within a `with` block, turn the first Ctrl-C or SIGTERM into a wish to stop; the second ends the process.

    They are not told apart: MindSpore 2.10 makes a SIGTERM of a Ctrl-C while it computes. What comes within ECHO_S
    seconds of the first counts as its echo: a job manager signals every process of a job, and the launcher passes on to
    its workers what it gets. Once a stop was asked for, signals are handled so after the block too: an echo must not
    end a process that waits for another's checkpoint, or that is about to leave with its own exit code.

    Attributes:
        signal: SIGTERM when a stop was asked for; None: it was not.
    """

    def __init__(self) -> None:
        self.signal: Optional[signal.Signals] = None
        self._asked_at = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self.signal is None:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, _: Optional[FrameType]) -> None:
        if self.signal is None:
            self.signal, self._asked_at = signal.SIGTERM, time.monotonic()
            print("stopping after this step; the same again ends without it", file=sys.stderr, flush=True)
        elif time.monotonic() - self._asked_at > ECHO_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
