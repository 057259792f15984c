"""Ctrl-C and SIGTERM in the middle of a training run."""

import signal
import sys
from types import FrameType, TracebackType
from typing import Optional

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Within a `with` block, turn the first Ctrl-C or SIGTERM into a wish to stop; the second ends the process.

    They are not told apart: MindSpore 2.10 makes a SIGTERM of a Ctrl-C while it computes or reads data.

    Attributes:
        signal: SIGTERM when a stop was asked for; None: it was not.
    """

    def __init__(self) -> None:
        self.signal: Optional[signal.Signals] = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, _: int, __: Optional[FrameType]) -> None:
        self.signal = signal.SIGTERM
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        print("stopping after this step; the same again ends at once", file=sys.stderr, flush=True)
