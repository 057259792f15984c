"""Processes that are killed, and processes that work on one store at once."""

import random
import sqlite3

import numpy as np
import pytest

from mindvox.speakers.sqlite_store import SqliteStore
from mindvox.speakers.store import open_store
from tests.speakers.conftest import MODEL
from tests.speakers.worker import samples_of, start


def kill_while_enrolling(place, num_acknowledged):
    """Kill a process that enrols 1,000 speakers; return how many it had confirmed."""
    process = start(place, "enrol", 1000)
    for number, _ in enumerate(process.stdout, 1):
        if number == num_acknowledged:
            break
    process.kill()
    num_left = len(process.stdout.readlines())  # not communicate(): it passes over what the loop has read ahead
    process.communicate()
    return num_acknowledged + num_left


def check_enrolled(store, num_acknowledged):
    """Check that all confirmed speakers are complete, and that at most one more speaker exists, also complete."""
    count = store.count()
    assert num_acknowledged <= count <= num_acknowledged + 1
    for number in range(count):
        found, expected = store.get(str(number)), samples_of(number)
        assert [sample.source for sample in found.samples] == [sample.source for sample in expected]
        for one, other in zip(found.samples, expected, strict=True):
            assert np.array_equal(one.embedding, other.embedding)
        assert store.search(found.centroid[None])[0][0].name == str(number)
    assert [entry.name for entry in store.audit(limit=2000)] == [str(number) for number in range(count)]


def check_file(path):
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        for table, owners in (("centroids", "speakers"), ("embeddings", "samples")):
            slots = connection.execute(f"SELECT slot FROM {table}").fetchall()
            column = table[:-1]
            used = connection.execute(f"SELECT {column} FROM {owners} UNION ALL SELECT slot FROM free_{table}")
            assert sorted(slots) == sorted(used.fetchall())  # every row is somebody's, or free


@pytest.mark.parametrize("num_kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_what_a_killed_process_had_confirmed_is_there(tmp_path, num_kills):
    rng = random.Random(num_kills)
    for kill in range(num_kills):
        path = tmp_path / f"{kill}.db"
        num_acknowledged = kill_while_enrolling(path, rng.randint(1, 1000 if num_kills > 2 else 60))
        with SqliteStore.open(path, MODEL) as store:
            check_enrolled(store, num_acknowledged)
        check_file(path)


def test_a_process_that_opened_the_store_twice_sees_what_others_write(tmp_path):
    """Its locks hold: a process that ends does not take the log away from it."""
    path = tmp_path / "speakers.db"
    with open_store(path, MODEL) as one, open_store(path, MODEL) as other:
        expected = {"anna"}
        one.put("anna", samples_of(1))
        for number in (1, 2):
            worker = start(path, "churn", number, 0)
            expected |= set(worker.communicate()[0].splitlines())
            assert worker.returncode == 0 and set(one.names()) == set(other.names()) == expected
        other.put("bert", samples_of(2))
    with open_store(path) as store:
        assert set(store.names()) == {*expected, "bert"}
    check_file(path)


@pytest.mark.parametrize(
    ("num_workers", "seconds", "large"),
    [
        (3, 1.0, 10**9),
        pytest.param(8, 60.0, 10**9, marks=[pytest.mark.slow], id="eight for a minute"),
        pytest.param(8, 60.0, 20, marks=[pytest.mark.slow], id="eight for a minute, by codes"),
    ],
)
def test_processes_enrol_identify_and_delete_at_once(tmp_path, num_workers, seconds, large):
    if large < 10**9:
        pytest.importorskip("faiss")
    path = tmp_path / "speakers.db"
    workers = [start(path, "churn", number, seconds, large) for number in range(num_workers)]
    ends = [worker.communicate() for worker in workers]
    assert not any(worker.returncode for worker in workers), "".join(err[-2000:] for _, err in ends)
    expected = sorted(name for out, _ in ends for name in out.splitlines())
    with open_store(path) as store:
        assert list(store.names()) == expected and len(expected) > num_workers
        assert sum(entry.action == "deleted" for entry in store.audit(limit=10**6)) > 0
    check_file(path)
