"""Metrics for Prometheus, and a log of every call."""

import errno
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, Optional

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mindvox.errors import InputError
from mindvox.service.pool import WorkerPool
from mindvox.speakers.transfer import as_text

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # s


class Metrics:
    """Counts of calls and answers since the service started.

    Args:
        pool: the workers of the service.
    """

    def __init__(self, pool: WorkerPool) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            *("mindvox_requests", "Requests by call and status.", ["call", "status"]), registry=self._registry
        )
        self.seconds = Histogram(
            *("mindvox_request_seconds", "Duration of a request in s.", ["call"]),
            registry=self._registry,
            buckets=BUCKETS,
        )
        self.answers = Counter(
            *("mindvox_answers", "Answers about voices.", ["call", "answer"]), registry=self._registry
        )
        for name, text, read in (
            ("mindvox_waiting_recordings", "Recordings that wait for a worker.", lambda: pool.num_waiting),
            ("mindvox_workers", "Workers that are ready.", lambda: pool.num_alive),
            ("mindvox_worker_restarts", "Restarts of workers.", lambda: pool.num_restarts),
        ):
            Gauge(name, text, registry=self._registry).set_function(read)

    def page(self) -> bytes:
        """Return the page that Prometheus reads."""
        return generate_latest(self._registry)


class AuditLog:
    """A log with one line of JSON per call: when, who, what, and the result; no voice, no name, no secret.

    Args:
        path: the file to which lines are appended; None: standard error. If the file is moved away (logrotate), the
            next line creates a new one.

    Raises:
        InputError: the file cannot be written.
    """

    def __init__(self, path: Optional[Path]) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._is_torn = False  # whether the last line is incomplete
        self._num_lost = 0
        if path is not None:
            try:
                os.close(_opened(path))
            except OSError as error:
                raise InputError(f"{path}: {error.strerror}.") from None

    def write(self, entry: dict[str, Any]) -> None:
        """Add an entry; raise OSError if it cannot be written, for example on a full disk."""
        with self._lock:
            try:
                self._add(entry)
            except OSError:
                self._num_lost += 1
                raise

    def resume(self) -> None:
        """If entries could not be written, log how many are missing; raise OSError if that fails, too."""
        with self._lock:
            if self._num_lost:
                self._add({"code": "audit_unavailable", "missing": self._num_lost})
                self._num_lost = 0

    def _add(self, entry: dict[str, Any]) -> None:
        line = json.dumps({"at": as_text(time.time()), **entry}, ensure_ascii=True) + "\n"
        if self._path is None:
            sys.stderr.write(line)
            sys.stderr.flush()
            return
        content = (b"\n" if self._is_torn else b"") + line.encode()
        handle = _opened(self._path)
        try:
            num_written = os.write(handle, content)
        finally:
            os.close(handle)
        self._is_torn = num_written < len(content)
        if self._is_torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
