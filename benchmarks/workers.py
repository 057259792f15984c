"""Two frameworks measured in turn: each in a process of its own that waits between its turns."""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional


class Worker:
    """A process that answers one JSON line with one JSON line: `{"do": name, ...}` with `{"seconds": ...}`.

    Args:
        python: interpreter of the environment that has the framework.
        script: program, which calls `serve`.
        arguments: its command line.
        cores: that it may use; None: all.
    """

    def __init__(self, python: str, script: Path, *arguments: str, cores: Optional[int] = None) -> None:
        allowed = sorted(os.sched_getaffinity(0))[:cores]
        self.process = subprocess.Popen(
            [python, str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(len(allowed))},
            preexec_fn=lambda: os.sched_setaffinity(0, allowed),
        )

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        """Send one request and wait for its answer."""
        print(json.dumps({"do": do, **values}), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args}: stopped with exit code {self.process.wait()}; see above.")
        return json.loads(answer)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=60)


def serve(actions: dict[str, Any]) -> None:
    """Answer requests on standard input until it ends; whatever an action prints goes to standard error."""
    import contextlib
    import sys

    for line in sys.stdin:
        request = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            answer = actions[request.pop("do")](**request)
        print(json.dumps(answer), flush=True)


def time_calls(call: Callable[[], Any], calls: int, now: Callable[[], float] = time.perf_counter) -> dict[str, float]:
    """Return the mean seconds of so many calls by a clock, as the answer to a request."""
    start = now()
    for _ in range(calls):
        call()
    return {"seconds": (now() - start) / calls}


def peak_memory_gib() -> float:
    """Return the largest resident memory of this process so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def alternate(workers: Sequence[Worker], rounds: int, do: str, **values: Any) -> list[float]:
    """Ask every worker in turn, `rounds` times, and return each one's median seconds."""
    seconds: list[list[float]] = [[] for _ in workers]
    for _ in range(rounds):
        for worker, measured in zip(workers, seconds, strict=True):
            measured.append(worker.ask(do, **values)["seconds"])
    return [statistics.median(measured) for measured in seconds]
