"""Throughput, waiting times and memory of the service: python benchmarks/service.py CORPUS [--short].

In one run, on the same recordings of 1 to 10 s: Embedder in one process per core (the least that they can cost), the
service's /v1/embed and /v1/identify for each number of callers, the same model behind a plain FastAPI endpoint, and the
service again for ten minutes, in which its memory is watched. Callers wait for each answer before they send the next
recording. CPU seconds are the processes' own, which a busy machine changes less than the wall clock; the callers' CPU
is given beside them, because they share the cores with the service. Needs the extras serve and client.
"""

import argparse
import http.client
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

import numpy as np

from mindvox.corpus.walk import walk_audio
from mindvox.embedder import DEFAULT_MODEL, Embedder
from mindvox.parallel import num_cores

TICKS = os.sysconf("SC_CLK_TCK")
MIN_S, MAX_S = 1.0, 10.0
BUSY, PAUSE_S = 503, 0.05  # the queue is full; then a caller tries again
LEAST_SHARE, MOST_GROWTH = 0.8, 0.05  # of Embedder's throughput; of the memory in the long run
LONG_CALLERS = 4
BOUNDARY = "recording-of-the-benchmark"
CONSOLE = "from mindvox.cli import console; raise SystemExit(console())"
PLAIN = """
import socket, tempfile
import uvicorn
from fastapi import FastAPI, UploadFile
from mindvox.embedder import Embedder
app, embedder = FastAPI(), Embedder.open({model!r})
@app.post("/v1/embed")
def embed(recordings: UploadFile):
    with tempfile.NamedTemporaryFile(suffix=".flac") as file:
        file.write(recordings.file.read())
        file.flush()
        return {{"embedding": embedder.embed(file.name).tolist()}}
listener = socket.create_server(("127.0.0.1", 0))
print("listening: http://127.0.0.1:%d" % listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
"""


@dataclass(frozen=True)
class Measured:
    """What a number of calls took.

    Attributes:
        per_s: recordings a second by the wall clock.
        cpu_ms, callers_cpu_ms: of a recording, in the service and in its callers.
        seconds: of each call, until its answer.
        num_refused: answers that the queue is full.
    """

    per_s: float
    cpu_ms: float
    callers_cpu_ms: float
    seconds: np.ndarray
    num_refused: int

    def __str__(self) -> str:
        p50, p95, p99 = 1000 * np.percentile(self.seconds, [50, 95, 99])
        refused = f", {self.num_refused} refused" if self.num_refused else ""
        return (
            f"{self.per_s:.1f}/s, {self.cpu_ms:.1f} ms CPU each (callers {self.callers_cpu_ms:.1f}), "
            f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms{refused}"
        )


def recordings_of(corpus: str, number: int) -> list[Path]:
    """Return recordings of 1 to 10 s, spread over a corpus; raise SystemExit where it has none."""
    import soundfile

    names = walk_audio(corpus).names
    found = []
    for name in names[:: max(1, len(names) // (2 * number))]:
        path = Path(corpus, name)
        if MIN_S <= soundfile.info(str(path)).duration <= MAX_S:
            found.append(path)
    if not found:
        raise SystemExit(f"{corpus}: expected recordings of {MIN_S:g} to {MAX_S:g} s, found none.")
    return list(islice(cycle(found[:number]), number))


def embed_part(given: tuple[str, list[Path]]) -> tuple[float, float]:
    """Embed recordings, and return the wall and CPU seconds without loading."""
    model, paths = given
    embedder = Embedder.open(model, num_threads=1)
    embedder.embed(paths[0])
    wall, cpu = time.monotonic(), time.process_time()
    for path in paths:
        embedder.embed(path)
    return time.monotonic() - wall, time.process_time() - cpu


def measure_embedder(model: str, paths: Sequence[Path]) -> float:
    """Print what Embedder takes, in one process for each core, and return recordings a second."""
    parts = [(model, list(paths[first :: num_cores()])) for first in range(num_cores())]
    with multiprocessing.get_context("spawn").Pool(num_cores()) as pool:
        found = pool.map(embed_part, parts, chunksize=1)
    # Each process alone: they do not begin at the same moment.
    per_s = sum(len(part) / wall for (_, part), (wall, _) in zip(parts, found, strict=True))
    cpu = sum(cpu for _, cpu in found)
    print(f"Embedder, {num_cores()} processes: {per_s:.1f}/s, {1000 * cpu / len(paths):.1f} ms CPU each", flush=True)
    return per_s


def tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    children = [
        int(child) for thread in Path(f"/proc/{pid}/task").glob("*/children") for child in thread.read_text().split()
    ]
    return [pid, *(below for child in children for below in tree(child))]


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and all below it."""
    fields = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in tree(pid)]
    return sum(int(value) for field in fields for value in field[11:13]) / TICKS


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process and all below it, MB."""
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in tree(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Caller:
    """A connection over which one recording is sent after the other.

    Args:
        address: of the service.
        path: of the call.
    """

    def __init__(self, address: str, path: str) -> None:
        parts = urlsplit(address)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=300)
        self._path = path
        self.num_refused = 0

    def ask(self, body: bytes) -> float:
        """Send a recording until it is taken, and return the seconds until its answer."""
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        started = time.monotonic()
        while True:
            try:
                answer = self._send(body, headers)
            except ConnectionError:  # it was idle for too long, and the service closed it
                self._connection.close()
                answer = self._send(body, headers)
            content = answer.read()
            if answer.status == 200:
                return time.monotonic() - started
            if answer.status != BUSY:
                raise SystemExit(f"{self._path}: {answer.status}: {content[:500]!r}")
            self.num_refused += 1
            time.sleep(PAUSE_S)

    def _send(self, body: bytes, headers: dict[str, str]) -> http.client.HTTPResponse:
        self._connection.request("POST", self._path, body, headers)
        return self._connection.getresponse()


def body_of(path: Path) -> bytes:
    """Return the body of a request with one recording."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="recordings"; filename="{path.name}"\r\n\r\n'
    return head.encode() + path.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()


def measure(address: str, pid: int, path: str, bodies: Sequence[bytes], num_callers: int) -> Measured:
    """Send the recordings, by callers at once, and return what that took."""
    callers = [Caller(address, path) for _ in range(num_callers)]
    with ThreadPoolExecutor(num_callers) as threads:
        list(threads.map(lambda caller: caller.ask(bodies[0]), callers))  # connections, and caches
        waiting = iter(bodies)  # each caller takes the next one

        def work(caller: Caller) -> list[float]:
            return [caller.ask(body) for body in waiting]

        wall, cpu, own = time.monotonic(), cpu_s(pid), time.process_time()
        seconds = [second for part in threads.map(work, callers) for second in part]
        wall, cpu, own = time.monotonic() - wall, cpu_s(pid) - cpu, time.process_time() - own
    number = len(bodies)
    refused = sum(caller.num_refused for caller in callers)
    return Measured(number / wall, 1000 * cpu / number, 1000 * own / number, np.array(seconds), refused)


@contextmanager
def running(command: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Run a service; yield its address and process id."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line.startswith("listening: "):
                raise SystemExit("the service did not start; what it printed says why.")
            yield line.split()[-1], process.pid
        finally:
            process.terminate()


def service_command(model: str, folder: str) -> list[str]:
    """Return the command of a service whose data lies in a folder."""
    return [
        *(sys.executable, "-c", CONSOLE, "serve", "--port=0", "--requests_per_minute=0", "--allow_embeddings"),
        *(f"--model={model}", f"--store={folder}/speakers.db", f"--tokens={folder}/tokens.json"),
        f"--audit_log={folder}/audit.jsonl",
    ]


def measure_memory(address: str, pid: int, bodies: Sequence[bytes], minutes: float) -> float:
    """Ask for some minutes, print the memory after each, and return by how much it grew after the first one."""
    first: Optional[float] = None
    found, share = 0.0, min(60.0, 60 * minutes / 4)
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        num_calls, part_end = 0, time.monotonic() + share
        while time.monotonic() < part_end:
            measure(address, pid, "/v1/identify", bodies, LONG_CALLERS)
            num_calls += len(bodies)
        found = memory_mb(pid)
        first = first or found
        print(f"service /v1/identify, {LONG_CALLERS} callers: {num_calls} more recordings, {found:.0f} MB", flush=True)
    return found / first - 1 if first else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--num", type=int, default=400, help="recordings for each number of callers")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--minutes", type=float, default=10, help="of the long run; 0: none")
    parser.add_argument(
        "--short", action="store_true", help="48 recordings, half a minute, no verdict: to see that it works"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL)
    arguments = parser.parse_args()
    number, minutes = (48, 0.5) if arguments.short else (arguments.num, arguments.minutes)
    paths = recordings_of(arguments.corpus, number)
    bodies = [body_of(path) for path in paths]
    alone = measure_embedder(arguments.model, paths)
    best, growth = 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        service = service_command(arguments.model, folder)
        plain = [sys.executable, "-c", PLAIN.format(model=arguments.model)]
        for name, command, calls in (
            ("service", service, ("/v1/embed", "/v1/identify")),
            ("plain FastAPI", plain, ("/v1/embed",)),
        ):
            with running(command) as (address, pid):
                for path in calls:
                    for num_callers in arguments.callers:
                        found = measure(address, pid, path, bodies, num_callers)
                        print(f"{name} {path}, {num_callers} callers: {found}, {memory_mb(pid):.0f} MB", flush=True)
                        if name == "service" and path == "/v1/embed":
                            best = max(best, found.per_s)
        if minutes:
            with running(service) as (address, pid):
                growth = measure_memory(address, pid, bodies, minutes)
    again = measure_embedder(arguments.model, paths)  # the machine may have changed meanwhile
    share = best / max(alone, again)
    print(f"throughput of /v1/embed: {share:.2f} of Embedder's, at least {LEAST_SHARE:g} is wanted")
    print(f"memory in {minutes:g} minutes: {growth:+.1%}, less than {MOST_GROWTH:.0%} is wanted")
    return 0 if arguments.short or (share >= LEAST_SHARE and growth < MOST_GROWTH) else 1


if __name__ == "__main__":
    raise SystemExit(main())
