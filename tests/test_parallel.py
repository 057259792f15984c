"""Calls in processes: results in order, failures as they are, no process left."""

import multiprocessing
import os
import re
import signal
import sys
import time
from contextlib import closing

import pytest

from mindvox import parallel
from mindvox.errors import InputError
from mindvox.parallel import call_all


def square(number: int) -> int:
    time.sleep(0.02 * (number % 3))
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise InputError("three is wrong")
    return number


def be_killed_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def sleep_long(number: int) -> int:
    time.sleep(0 if number == 0 else 600)
    return number


def thread_setting(number: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


@pytest.mark.parametrize("num_processes", [1, 2])
def test_results_come_in_the_order_of_the_jobs(num_processes):
    assert list(call_all(square, range(20), num_processes)) == [number * number for number in range(20)]


def test_failure_in_a_process_arrives_as_it_is():
    with pytest.raises(InputError, match="three is wrong"):
        list(call_all(fail_at_three, range(9), 2))


def test_killed_process_is_one_clear_error():
    with pytest.raises(InputError, match="a process was killed.*with fewer processes"):
        list(call_all(be_killed_at_three, range(9), 2))


def test_no_process_goes_on_after_the_caller_has_failed():
    with pytest.raises(ZeroDivisionError), closing(call_all(sleep_long, range(9), 2)) as results:
        1 / next(results)
    deadline = time.monotonic() + 20
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not multiprocessing.active_children()


def test_processes_use_one_thread_each_and_the_caller_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert set(call_all(thread_setting, range(4), 2)) == {"1"}
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_missing_dask_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=re.escape("pip install -e '.[dask]'")):
        list(call_all(square, range(3), dask="local"))


def test_dask_scheduler_that_is_not_there_is_an_error(monkeypatch):
    pytest.importorskip("distributed", reason="needs the extra dask")
    monkeypatch.setattr(parallel, "CONNECT_TIMEOUT_S", 1)
    with pytest.raises(InputError, match="dask: no scheduler at tcp://127.0.0.1:9, or no worker"):
        list(call_all(square, range(3), dask="tcp://127.0.0.1:9"))
