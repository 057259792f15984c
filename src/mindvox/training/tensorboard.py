"""Event files for TensorBoard."""

import sys
import time
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from mindvox.files import PathLike


class EventFile:
    """Writes the numbers of one session of a run to a new file in a folder.

    It writes in the calling thread: tensorboardX's own SummaryWriter has a thread and a queue, and hangs forever if the
    disk is full (2.6.5). Here a full disk ends the event file with a warning, but not the run.

    Args:
        folder: created if missing.
        first_step: first step of the session; later steps of earlier sessions are no longer shown.
    """

    def __init__(self, folder: PathLike, first_step: int) -> None:
        self._writer = None
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            # The name contains seconds; the step separates two sessions in one second.
            self._writer = EventsWriter(str(Path(folder, "events")), f".{first_step}")
        except OSError as error:
            self._give_up(error)
        self._write(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))

    def add(self, step: int, values: dict[str, float]) -> None:
        """Write numbers by name, after `step` steps."""
        numbers = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(Event(step=step, summary=Summary(value=numbers)))

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, event: Event) -> None:
        if self._writer is None:
            return
        event.wall_time = time.time()
        try:
            self._writer.write_event(event)
            self._writer.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._writer = None
        print(f"warning: no event files for TensorBoard from here on: {error}", file=sys.stderr)
