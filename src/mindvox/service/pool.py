"""The workers of the service: a bounded queue in front of processes that are restarted when they are killed."""

import json
import multiprocessing
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Optional

import numpy as np

from mindvox.errors import InputError
from mindvox.parallel import one_thread_each
from mindvox.service import worker
from mindvox.service.printing import warn
from mindvox.service.problems import ServiceProblem
from mindvox.service.worker import BEGUN, DECODED, WorkerSettings

START_S = 120.0  # longest time for a worker to load its models
LONGEST_ANSWER = 16 << 20  # bytes
RESTART_S, LONGEST_PAUSE_S = 1.0, 30.0  # pause before a failed start is retried; it doubles each time
CHECK_S = 1.0  # how often an idle worker is checked
CLOSE_S = 10.0  # longest time for the last jobs at shutdown, after the FINISH_S of server.py for requests
SMOOTHING = 0.1  # weight of the newest job in the mean time of a job


@dataclass
class Job:
    """Work on one recording.

    Args:
        op: the operation: EXAMINE, EMBED or DIARIZE.
        name: the recording's name.
        content: the recording's bytes.
        options: the operation's options.
        decode_s: longest time for decoding in s.
        work_s: longest time for everything else in s.
    """

    op: str
    name: str
    content: bytes
    options: dict[str, Any]
    decode_s: float
    work_s: float
    future: "Future[Reply]" = field(default_factory=Future)


@dataclass(frozen=True)
class Reply:
    """The answer of a worker: values for JSON, and embeddings (D,) or (K, D); None: there are none."""

    result: Any
    vectors: Optional[np.ndarray]


class WorkerPool:
    """Worker processes and the queue in front of them.

    Args:
        settings: the settings of each worker.
        num_workers: number of workers.
        max_waiting: most jobs in the queue.
    """

    def __init__(self, settings: WorkerSettings, num_workers: int, max_waiting: int) -> None:
        self._settings = settings
        self._jobs: queue.Queue[Optional[Job]] = queue.Queue(max_waiting)
        self._lanes = [_Lane(settings, self._jobs, self) for _ in range(num_workers)]
        self.is_closing = threading.Event()
        self.num_restarts = 0
        self.job_s = 1.0  # mean time of a job in s
        self.engine = ""

    def start(self) -> None:
        """Start the workers and wait until all are ready; raise InputError if one cannot start."""
        for lane in self._lanes:
            lane.launch()
        try:
            for lane in self._lanes:
                self.engine = lane.await_ready()
        except BaseException:
            for lane in self._lanes:
                lane.kill()
            raise
        for lane in self._lanes:
            lane.start()

    def submit(self, job: Job) -> "Future[Reply]":
        """Queue a job; raise ServiceProblem (busy) if the queue is full or no worker can be started."""
        if self._is_failing:
            raise self.no_worker()
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise self.busy() from None
        return job.future

    def busy(self) -> ServiceProblem:
        """Return the problem for a job that finds the queue full."""
        wait_s = (self._jobs.qsize() + 1) * self.job_s / len(self._lanes)
        return ServiceProblem(503, "busy", "All workers are busy and the queue is full.", retry_after_s=wait_s)

    @staticmethod
    def no_worker() -> ServiceProblem:
        """Return the problem for a job that finds no running worker."""
        return ServiceProblem(503, "busy", "No worker is running.", retry_after_s=LONGEST_PAUSE_S)

    def refuse_waiting(self) -> None:
        """Refuse the waiting jobs if no worker can be started."""
        while self._is_failing and not self.is_closing.is_set():
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is not None and job.future.set_running_or_notify_cancel():
                job.future.set_exception(self.no_worker())

    @property
    def num_waiting(self) -> int:
        """Number of waiting jobs."""
        return self._jobs.qsize()

    @property
    def num_alive(self) -> int:
        """Number of workers that are ready."""
        return sum(lane.is_ready for lane in self._lanes)

    @property
    def _is_failing(self) -> bool:
        return all(lane.cannot_start for lane in self._lanes)

    def close(self) -> None:
        """Finish the waiting jobs for up to CLOSE_S, then end the workers."""
        self.is_closing.set()
        give_up = time.monotonic() + CLOSE_S
        for lane in self._lanes:
            if lane.is_alive():
                self._jobs.put(None)
        for lane in self._lanes:
            if lane.is_alive():
                lane.join(max(0.0, give_up - time.monotonic()))
            lane.kill()

    def note(self, seconds: float) -> None:
        """Include a job of this length, in s, in the mean time."""
        self.job_s += SMOOTHING * (seconds - self.job_s)


class _Lane(threading.Thread):
    """One worker, and the thread that gives it jobs."""

    def __init__(self, settings: WorkerSettings, jobs: "queue.Queue[Optional[Job]]", pool: WorkerPool) -> None:
        super().__init__(name="worker", daemon=True)
        self._settings, self._jobs, self._pool = settings, jobs, pool
        self._process: Optional[BaseProcess] = None
        self._connection: Optional[Connection] = None
        self.is_ready = False
        self.cannot_start = False  # whether the last attempt failed

    def launch(self) -> None:
        """Start the process."""
        # Spawned, not forked: this process has threads, and the worker must not see the store and the tokens.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        with _launching, one_thread_each():
            self._process = context.Process(target=worker.main, args=(theirs, self._settings), daemon=True)
            self._process.start()
        theirs.close()

    def await_ready(self) -> str:
        """Wait until the process has loaded its models, and return the engine's name; raise InputError."""
        try:
            answer = self._receive(START_S)
        except (EOFError, OSError, TimeoutError):
            raise InputError("a worker of the service could not start; see its output for the reason.") from None
        if "error" in answer:
            raise InputError(answer["error"])
        self.is_ready = True
        return answer["engine"]

    def kill(self) -> None:
        """Kill the process, whatever it is doing."""
        self.is_ready = False
        if self._process is not None:  # first, so that a thread that waits for its answer sees the end
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()

    def run(self) -> None:
        """Give jobs to the process until the queue yields None."""
        while True:
            try:
                job = self._jobs.get(timeout=CHECK_S)
            except queue.Empty:
                if self._has_died():
                    self._revive()
                continue
            if job is None:
                return
            if not job.future.set_running_or_notify_cancel():
                continue  # the caller has disconnected
            started = time.monotonic()
            try:
                if self._has_died():
                    self._restart()
                try:
                    reply = self._do(job)
                except ChildProcessError:  # it had died while idle, after the check
                    self._restart()
                    reply = self._do(job)
                job.future.set_result(reply)
            except (InputError, OSError):
                job.future.set_exception(self._pool.no_worker())
            except BaseException as error:  # the caller that waits for the job gets the error
                job.future.set_exception(error)
            self._pool.note(time.monotonic() - started)
            if not self.is_ready:
                self._revive()

    def _do(self, job: Job) -> Reply:
        """Return the reply to a job.

        Raises:
            ServiceProblem: the job failed or took too long.
            ChildProcessError: the process died before it received the job.
        """
        assert self._connection is not None
        stage = ""
        try:
            header = {"op": job.op, "name": job.name, **job.options}
            self._connection.send_bytes(json.dumps(header).encode())
            self._connection.send_bytes(job.content)
            answer = self._receive(job.decode_s)
            if answer.get("stage") == BEGUN:
                stage = BEGUN
                answer = self._receive(job.decode_s)
            if answer.get("stage") == DECODED:
                stage = DECODED
                answer = self._receive(job.work_s)
            if "problem" in answer:
                status = {"too_long": 413, "unsupported_format": 415, "failed": 500}.get(answer["problem"], 422)
                raise ServiceProblem(status, answer["problem"], f"{job.name}: {answer['detail']}", job.name)
            vectors = None
            if answer["shape"] is not None:
                content = self._connection.recv_bytes(LONGEST_ANSWER)
                vectors = np.frombuffer(content, "<f4").reshape(answer["shape"])
            return Reply(answer["result"], vectors)
        except TimeoutError:
            self.kill()
            raise self._too_slow(job, stage) from None
        except (EOFError, OSError):  # the process has died
            self.kill()
            if not stage:
                raise ChildProcessError from None
            if stage == DECODED:
                raise ServiceProblem(
                    500, "failed", f"{job.name}: the process that worked on it died.", job.name
                ) from None
            raise ServiceProblem(422, "unusable", f"{job.name}: decoding it failed.", job.name) from None
        except (ValueError, KeyError, TypeError):  # not a valid answer
            self.kill()
            raise ServiceProblem(
                500, "failed", f"{job.name}: the process that worked on it failed.", job.name
            ) from None

    def _too_slow(self, job: Job, stage: str) -> ServiceProblem:
        if stage == DECODED:
            return ServiceProblem(503, "timeout", f"{job.name}: not finished within {job.work_s:g} s.", job.name)
        return ServiceProblem(
            422, "decode_timeout", f"{job.name}: could not be decoded within {job.decode_s:g} s.", job.name
        )

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        """Return the next answer; raise TimeoutError, or EOFError if the process has died."""
        assert self._connection is not None
        if not self._connection.poll(timeout_s):
            raise TimeoutError
        return json.loads(self._connection.recv_bytes(LONGEST_ANSWER))

    def _has_died(self) -> bool:
        """Return whether there is no process, or it died while idle."""
        return not self.is_ready or self._process is None or not self._process.is_alive()

    def _restart(self) -> None:
        self.kill()
        if self._pool.is_closing.is_set():
            raise InputError("the service is shutting down.")
        self._pool.num_restarts += 1
        self.launch()
        self.await_ready()

    def _revive(self) -> None:
        """Restart the process; while that fails, retry after longer and longer pauses."""
        pause_s = RESTART_S
        while not self._pool.is_closing.is_set():
            try:
                self._restart()
            except (InputError, OSError) as error:
                warn(error)
                self.cannot_start = True
                self._pool.refuse_waiting()
                self._pool.is_closing.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                self.cannot_start = False
                return


_launching = threading.Lock()  # guards the environment that a worker inherits
