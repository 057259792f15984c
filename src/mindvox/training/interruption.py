"""Graceful shutdown: Ctrl-C and SIGTERM during a training run."""

import os
import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Any, Optional

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ECHO_S = 1.0


class Interruption:
    """Within a `with` block, turn the first Ctrl-C or SIGTERM into a request to stop; the second ends the process.

    The two are treated alike, because MindSpore 2.10 turns a Ctrl-C into a SIGTERM while it computes. Signals within
    ECHO_S seconds of the first count as its echo: a job manager signals every process of a job, and the launcher passes
    its signals on to the workers. After a request to stop, the handlers stay installed beyond the block: an echo must
    not end a process that waits for another rank's checkpoint, or that is about to exit with its own code.

    Attributes:
        signal: SIGTERM after a request to stop; None: no request.
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
            print(
                "stopping after this step; a second signal ends at once, without a checkpoint",
                file=sys.stderr,
                flush=True,
            )
        elif time.monotonic() - self._asked_at > ECHO_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
