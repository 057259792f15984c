"""Call a function for many jobs: in this process, in several processes of this machine, or on a Dask cluster."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from itertools import islice
from multiprocessing import connection
from typing import Any, TypeVar

from mindvox.errors import InputError

JOBS_WAITING = 4  # queued jobs per process: enough to keep it busy, few enough to bound the memory of results
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LOCAL = "local"
CONNECT_TIMEOUT_S = 30
Job = TypeVar("Job")
Result = TypeVar("Result")


def num_cores() -> int:
    """Return the number of cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def call_all(
    function: Callable[[Job], Result], jobs: Sequence[Job], num_processes: int = 1, dask: str = ""
) -> Generator[Result, None, None]:
    """Yield the results in the order of the jobs.

    Args:
        function: a module-level function, which other processes can import.
        jobs: the arguments, one for each call.
        num_processes: number of processes on this machine; 1, or a single job: run in this process.
        dask: address of a Dask scheduler, or "local" for a cluster of `num_processes`; empty: no Dask.

    Raises:
        InputError: a process was killed, or Dask is not installed.
    """
    if dask:
        yield from _call_by_dask(function, jobs, num_processes, dask)
    elif num_processes == 1 or len(jobs) <= 1:
        yield from map(function, jobs)
    else:
        yield from _call_in_processes(function, jobs, min(num_processes, len(jobs)))


def _call_in_processes(function: Callable, jobs: Sequence, num_processes: int) -> Iterator:
    # Not forked: the copy of a process with threads, as NumPy and MindSpore have, can deadlock.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with one_thread_each(), ProcessPoolExecutor(num_processes, context, start_process) as pool:
        try:
            yield from in_order(pool.submit, function, jobs, JOBS_WAITING * num_processes)
        except BrokenProcessPool:
            raise InputError(
                "a process was killed, by the system if memory ran out: run again with fewer processes. Finished work "
                "is kept."
            ) from None
        except BaseException:
            # Leaving the block would wait for running jobs, which may take minutes.
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


def in_order(submit: Callable, function: Callable, jobs: Iterable, num_waiting: int) -> Iterator:
    """Yield the results in the order of the jobs; up to `num_waiting` jobs are submitted ahead."""
    remaining = iter(jobs)
    futures = deque(submit(function, job) for job in islice(remaining, num_waiting))
    while futures:
        yield futures.popleft().result()
        futures.extend(submit(function, job) for job in islice(remaining, 1))


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Limit processes started inside to one thread of linear algebra each, since there is one process per core."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def start_process() -> None:
    """Initialise a pool process; only its parent handles Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent stops the others
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent is killed; otherwise it would wait for jobs forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a process of a pool calls this"
    connection.wait([parent.sentinel])
    os._exit(1)


def _call_by_dask(function: Callable, jobs: Sequence, num_processes: int, address: str) -> Iterator:
    with _dask_client(num_processes, address) as client:
        num_waiting = JOBS_WAITING * max(1, sum(client.nthreads().values()))

        def submit(*call: Any) -> Any:
            # Not pure: Dask would skip a job of an earlier run although its files may be gone.
            return client.submit(*call, pure=False)

        try:
            yield from in_order(submit, function, jobs, num_waiting)
        except _dask().KilledWorker as error:
            raise InputError(f"dask: {error} Give its workers more memory; finished work is kept.") from None


@contextmanager
def _dask_client(num_processes: int, address: str) -> Iterator[Any]:
    """Connect to a cluster; start one if the address is "local"."""
    distributed = _dask()
    with ExitStack() as stack:
        cluster: Any = address
        if address == LOCAL:
            cluster = stack.enter_context(
                distributed.LocalCluster(n_workers=num_processes, threads_per_worker=1, dashboard_address=None)
            )
        try:
            client = stack.enter_context(distributed.Client(cluster, timeout=CONNECT_TIMEOUT_S))
            client.wait_for_workers(1, timeout=CONNECT_TIMEOUT_S)
        except (OSError, ValueError) as error:
            raise InputError(
                f"dask: no scheduler at {address}, or no worker ({error}). Start `dask scheduler` there and "
                "`dask worker` on the other machines."
            ) from None
        if max(client.nthreads().values()) > 1:  # the MindRecord writer does not support two threads in one process
            raise InputError("dask: expected workers with one thread: start them with `dask worker --nthreads 1`.")
        yield client


def _dask() -> Any:
    try:
        import distributed
    except ImportError:
        raise InputError("dask: not installed: pip install -e '.[dask]'") from None
    return distributed
