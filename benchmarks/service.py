"""Throughput and waiting times of the service: python benchmarks/service.py CORPUS [--num 200] [--callers 1 4 16 64].

In one run: Embedder in one process per core (what the recordings cost at least), the service's /v1/embed and
/v1/identify, and the same model behind a plain FastAPI endpoint. Prints recordings a second by the wall clock, and CPU
seconds of a recording by the processes' own clocks, which a busy machine changes less. Needs the extras serve and
client.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np

from mindvox.corpus.walk import walk_audio
from mindvox.embedder import DEFAULT_MODEL, Embedder
from mindvox.parallel import num_cores

TICKS = os.sysconf("SC_CLK_TCK")
MIN_S, MAX_S = 1.0, 10.0
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


def recordings_of(corpus: str, number: int) -> list[Path]:
    """Return recordings of 1 to 10 s, spread over a corpus."""
    import soundfile

    names = walk_audio(corpus).names
    found = []
    for name in names[:: max(1, len(names) // (2 * number))]:
        path = Path(corpus, name)
        if MIN_S <= soundfile.info(str(path)).duration <= MAX_S:
            found.append(path)
    return found[:number]


def embed_part(given: tuple[str, list[Path]]) -> tuple[float, float]:
    """Embed recordings, and return the wall and CPU seconds without loading."""
    model, paths = given
    embedder = Embedder.open(model, num_threads=1)
    embedder.embed(paths[0])
    wall, cpu = time.monotonic(), time.process_time()
    for path in paths:
        embedder.embed(path)
    return time.monotonic() - wall, time.process_time() - cpu


def measure_embedder(model: str, paths: list[Path]) -> None:
    """Print what Embedder takes, in one process for each core."""
    parts = [(model, paths[first :: num_cores()]) for first in range(num_cores())]
    with multiprocessing.get_context("spawn").Pool(num_cores()) as pool:
        found = pool.map(embed_part, parts, chunksize=1)
    wall, cpu = max(wall for wall, _ in found), sum(cpu for _, cpu in found)
    print(f"Embedder, {num_cores()} processes: {len(paths) / wall:.1f}/s, {1000 * cpu / len(paths):.1f} ms CPU each")


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


def measure_calls(name: str, address: str, pid: int, path: str, contents: list[bytes], callers: list[int]) -> None:
    """Print throughput and waiting times of one call for each number of callers."""

    def ask(client: httpx.Client) -> Callable[[bytes], float]:
        def once(content: bytes) -> float:
            started = time.monotonic()
            while True:
                answer = client.post(path, files=[("recordings", ("a.flac", content))])
                if answer.status_code != 503:
                    break
                time.sleep(0.05)  # the queue is full
            answer.raise_for_status()
            return time.monotonic() - started

        return once

    for number in callers:
        with httpx.Client(base_url=address, timeout=300) as client, ThreadPoolExecutor(number) as threads:
            ask(client)(contents[0])
            wall, cpu = time.monotonic(), cpu_s(pid)
            seconds = list(threads.map(ask(client), contents))
            wall, cpu = time.monotonic() - wall, cpu_s(pid) - cpu
        p95, p99 = 1000 * np.percentile(seconds, [95, 99])
        print(
            f"{name}, {number} callers: {len(contents) / wall:.1f}/s, {1000 * cpu / len(contents):.1f} ms CPU each, "
            f"p95 {p95:.0f} ms, p99 {p99:.0f} ms, {memory_mb(pid):.0f} MB",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--num", type=int, default=200, help="recordings")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--minutes", type=float, default=0, help="go on so long with 4 callers, and print the memory")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    arguments = parser.parse_args()
    paths = recordings_of(arguments.corpus, arguments.num)
    contents = [path.read_bytes() for path in paths]
    measure_embedder(arguments.model, paths)
    with tempfile.TemporaryDirectory() as folder:
        serve = [sys.executable, "-c", CONSOLE, "serve", "--port=0", "--requests_per_minute=0", "--allow_embeddings"]
        serve += [f"--model={arguments.model}", f"--store={folder}/speakers.db", f"--tokens={folder}/tokens.json"]
        serve += [f"--audit_log={folder}/audit.jsonl"]
        plain = [sys.executable, "-c", PLAIN.format(model=arguments.model)]
        for name, command, calls in (
            ("service", serve, ("/v1/embed", "/v1/identify")),
            ("plain FastAPI", plain, ("/v1/embed",)),
        ):
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                address = process.stdout.readline().split()[-1]
                try:
                    for path in calls:
                        measure_calls(f"{name} {path}", address, process.pid, path, contents, arguments.callers)
                    end = time.monotonic() + 60 * arguments.minutes
                    while name == "service" and time.monotonic() < end:
                        measure_calls("service, on and on", address, process.pid, "/v1/identify", contents, [4])
                finally:
                    process.terminate()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
