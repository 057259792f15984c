"""Failures in operation: full disks, locked stores, clocks set back, workers that cannot start, callers that leave."""

import json
import os
import re
import resource
import signal
import socket
import sqlite3
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection

import httpx
import pytest

from mindvox.errors import InputError
from mindvox.service import pool as pools
from mindvox.service import worker
from mindvox.service.problems import ServiceProblem
from mindvox.service.server import serve
from mindvox.service.settings import Settings
from mindvox.service.telemetry import AuditLog
from mindvox.service.worker import WorkerSettings
from tests.service.calls import enrol, files, problem_of
from tests.service.running import has_ended, until
from tests.service.toys import recording

LARGEST_STORE = 1 << 20  # bytes of it and of its log, while few are enrolled


@contextmanager
def full_disk(process, largest_bytes):
    """Limit the size of files that a process may write, as on a full disk."""
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest_bytes, hard))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def rotated(log):
    """Move a log away, as logrotate does."""
    log.rename(log.with_suffix(".1"))
    yield
    assert log.exists()


def entries_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_log_that_was_moved_away_goes_on_in_a_new_file(service, client):
    before = service.audit_log.read_text()
    with rotated(service.audit_log):
        assert client.get("/v1/speakers").status_code == 200
    assert service.audit_log.with_suffix(".1").read_text() == before
    (entry,) = entries_of(service.audit_log)
    assert entry["call"] == "GET /v1/speakers" and service.audit_log.stat().st_mode & 0o077 == 0


def test_what_cannot_be_noted_is_not_answered(service, client):
    anna = enrol(client)
    with rotated(service.audit_log):
        client.get("/v1/speakers")
    with open(service.audit_log, "a") as log:
        log.write(json.dumps({"note": "x" * LARGEST_STORE}) + "\n")
    with full_disk(service.process, service.audit_log.stat().st_size + 10):  # room for the beginning of a line
        found = problem_of(client.delete(f"/v1/speakers/{anna['id']}"), 503, "audit_unavailable")
        assert "withheld" in found["detail"]
        found = problem_of(client.get("/v1/speakers"), 503, "audit_unavailable")
        assert "Nothing was done" in found["detail"]
        assert client.get("/v1/health").status_code == 200
    problem_of(client.get(f"/v1/speakers/{anna['id']}"), 404, "no_such_speaker")
    torn, gap, entry = service.audit_log.read_text().splitlines()[-3:]
    assert len(torn) == 10 and json.loads(gap)["missing"] == 1 and json.loads(entry)["status"] == 404


def test_a_full_disk_changes_no_speaker_and_is_survived(service, client):
    anna = enrol(client)
    with rotated(service.audit_log), full_disk(service.process, 4000):
        answer = client.post("/v1/speakers", files=files(recording(2)), data={"name": "Bert"})
        problem_of(answer, 503, "store_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        problem_of(client.delete(f"/v1/speakers/{anna['id']}"), 503, "store_unavailable")
        assert client.get(f"/v1/speakers/{anna['id']}").status_code == 200
    assert [one["name"] for one in client.get("/v1/speakers").json()["speakers"]] == ["Anna"]
    enrol(client, "Bert", 2)
    assert "Traceback" not in service.errors, service.errors


def test_a_store_that_another_program_locks_is_waited_for(service, client):
    other = sqlite3.connect(service.folder / "speakers.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as threads:
        enrolled = threads.submit(enrol, client)
        time.sleep(0.3)
        assert not enrolled.done()
        started = time.monotonic()
        ready = client.get("/v1/ready")
        assert time.monotonic() - started < 5 and ready.status_code in (200, 503)
        other.execute("ROLLBACK")
        other.close()
        assert enrolled.result()["name"] == "Anna"


def test_a_deletion_is_acknowledged_while_a_back_up_reads(service, client):
    """Other calls continue meanwhile, and the operator is told that bytes are left."""
    anna, bert = enrol(client, "Anna", 1), enrol(client, "Bert", 2)
    reader = sqlite3.connect(service.folder / "speakers.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM speakers").fetchone()
    with ThreadPoolExecutor(1) as threads:
        deleted = threads.submit(client.delete, f"/v1/speakers/{anna['id']}")
        until(lambda: client.get(f"/v1/speakers/{anna['id']}").status_code == 404)
        started = time.monotonic()
        assert client.get(f"/v1/speakers/{bert['id']}").status_code == 200
        assert time.monotonic() - started < 2
        reader.execute("ROLLBACK")
        reader.close()
        assert deleted.result().status_code == 204


def test_a_clock_that_is_set_back_locks_nobody_for_long(service, client):
    anna = enrol(client)
    place = service.folder / "speakers.db"

    def verify(speaker):
        return client.post("/v1/verify", files=files(recording(speaker)), data={"speaker": anna["id"]})

    def failed_at(seconds):
        with sqlite3.connect(place) as store:
            store.execute("UPDATE speakers SET num_failures = 5, last_failure = ?", (time.time() + seconds,))
        store.close()

    failed_at(-1)
    problem_of(verify(1), 423, "locked")
    failed_at(10)  # the clocks of two machines differ a little
    problem_of(verify(1), 423, "locked")
    failed_at(365 * 86400)
    assert verify(2).json()["answer"] == "reject"
    problem_of(verify(1), 423, "locked")  # by the clock of now
    failed_at(-301)
    assert verify(1).json()["answer"] == "accept"


def test_a_caller_that_leaves_is_not_worked_for(service, client):
    """The job of a caller that has disconnected is taken out of the queue."""
    (busy,) = service.worker_ids()
    os.kill(busy, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(1) as threads:
            first = threads.submit(client.post, "/v1/examine", files=files(recording(1)))
            time.sleep(0.3)  # until the worker has it
            with pytest.raises(httpx.ReadTimeout):
                impatient = httpx.Client(base_url=service.address, headers=client.headers, timeout=0.3)
                impatient.post("/v1/identify", files=files(recording(1)))
            impatient.close()
            until(lambda: entries_of(service.audit_log)[-1]["call"] == "POST /v1/identify")
            assert entries_of(service.audit_log)[-1]["status"] == 0
            os.kill(busy, signal.SIGCONT)
            assert first.result().json()["problem"] is None
    finally:
        os.kill(busy, signal.SIGCONT)
    assert service.worker_ids() == [busy]


def test_a_caller_that_leaves_within_its_body_is_noted(service, client):
    head = (
        "POST /v1/examine HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Authorization: Bearer {service.tokens['all']}\r\nContent-Length: 1000\r\n\r\n--b\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(head.encode())
    until(lambda: entries_of(service.audit_log)[-1]["status"] == 0)
    assert "Traceback" not in service.errors, service.errors
    assert client.get("/v1/ready").status_code == 200


def test_an_idle_worker_that_dies_costs_no_caller_anything(service, client):
    (before,) = service.worker_ids()
    os.kill(before, signal.SIGKILL)
    until(lambda: has_ended(before))
    assert client.post("/v1/examine", files=files(recording(1))).json()["problem"] is None


def test_a_worker_that_dies_before_it_has_its_job_costs_no_caller_anything(service, client):
    (before,) = service.worker_ids()
    os.kill(before, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(client.post, "/v1/examine", files=files(recording(1)))
        time.sleep(0.5)  # until the job is on its way
        os.kill(before, signal.SIGKILL)
        assert asked.result().json()["problem"] is None
    assert service.worker_ids() != [before]


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{port}: Address already in use"):
            serve(Settings(port=port, tokens=tmp_path / "tokens.json"))


def test_a_log_that_cannot_be_written_is_named_at_once(tmp_path):
    path = tmp_path / "missing" / "audit.jsonl"
    with pytest.raises(InputError, match=re.escape(f"{path}: No such file or directory")):
        serve(Settings(audit_log=path, tokens=tmp_path / "tokens.json"))


class StillProcess:
    """A process that cannot start, in place of a worker."""

    def __init__(self, target, args, daemon):
        self._connection = args[0]

    def start(self):
        worker._send(self._connection, {"error": "there is no model"})

    def kill(self):
        pass

    join = is_alive = kill


def test_a_worker_that_cannot_start_says_why(monkeypatch):
    monkeypatch.setattr(pools.multiprocessing.get_context("spawn").__class__, "Process", StillProcess)
    pool = pools.WorkerPool(WorkerSettings("toy", "onnx", 1), 2, 4)
    with pytest.raises(InputError, match="there is no model"):
        pool.start()


def test_workers_that_cannot_start_again_refuse_and_are_tried_on(monkeypatch, capsys):
    monkeypatch.setattr(pools.multiprocessing.get_context("spawn").__class__, "Process", StillProcess)
    monkeypatch.setattr(pools, "RESTART_S", 0.01)
    monkeypatch.setattr(pools, "LONGEST_PAUSE_S", 0.02)
    pool = pools.WorkerPool(WorkerSettings("toy", "onnx", 1), 1, 4)
    (lane,) = pool._lanes
    jobs = [pools.Job(worker.EXAMINE, "a", b"", {}, 1, 1, Future()) for _ in range(3)]
    for job in jobs:
        pool._jobs.put(job)
    lane.start()
    for job in jobs:
        with pytest.raises(ServiceProblem) as caught:
            job.future.result(10)
        assert caught.value.status_code == 503 and caught.value.code == "busy"
    until(lambda: lane.cannot_start and pool.num_restarts > 3)
    with pytest.raises(ServiceProblem, match="No worker is running"):
        pool.submit(jobs[0])
    pool.close()
    assert not lane.is_alive() and "there is no model" in capsys.readouterr().err


class StuckProcess:
    """A process that starts and never does anything, in place of a worker."""

    def __init__(self, target, args, daemon):
        self._connection = Connection(os.dup(args[0].fileno()))

    def start(self):
        worker._send(self._connection, {"engine": "toy"})

    def kill(self):
        self._connection.close()

    def join(self):
        pass

    def is_alive(self):
        return not self._connection.closed


def test_a_worker_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(pools.multiprocessing.get_context("spawn").__class__, "Process", StuckProcess)
    monkeypatch.setattr(pools, "CLOSE_S", 0.2)
    pool = pools.WorkerPool(WorkerSettings("toy", "onnx", 1), 2, 4)
    pool.start()
    assert pool.engine == "toy" and pool.num_alive == 2
    futures = [pool.submit(pools.Job(worker.EXAMINE, "a", b"", {}, 60, 60)) for _ in range(3)]
    started = time.monotonic()
    pool.close()
    assert time.monotonic() - started < 5 and pool.num_alive == 0
    for future in futures:
        with pytest.raises(ServiceProblem):
            future.result(5)


def test_a_full_log_of_warnings_stops_nothing(monkeypatch):
    from mindvox.service.printing import warn

    class Full:
        def write(self, text):
            raise OSError("no room")

        flush = write

    monkeypatch.setattr("sys.stderr", Full())
    warn("something")
    log = AuditLog(None)
    with pytest.raises(OSError):
        log.write({})
