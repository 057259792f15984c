"""One process at a time writes into a folder; the lock ends with its holder.

Second variants of issue 12, B11: a lock on one output file, a part beside another part, a file system without locks, an
operating system without fcntl, a holder that is killed, a folder that the holder removes.
"""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from mindvox import files
from mindvox.errors import InputError
from mindvox.files import lock_folder, lock_output

HOLD = """
import sys, time
from pathlib import Path
from mindvox.files import lock_folder
folder, started, seconds = sys.argv[1:]
with lock_folder(folder):
    Path(started).touch()
    time.sleep(float(seconds))
    Path(folder, "done").touch()
"""


@pytest.fixture(autouse=True)
def _warn_again():
    files._warned.clear()


@pytest.fixture
def hold(tmp_path):
    """Start a process that locks a folder for some seconds."""
    processes = []

    def start(folder, seconds):
        started = tmp_path / f"started-{len(processes)}"
        processes.append(subprocess.Popen([sys.executable, "-c", HOLD, str(folder), str(started), str(seconds)]))
        while not started.exists():
            assert processes[-1].poll() is None
            time.sleep(0.01)
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_second_process_waits_and_says_for_whom(tmp_path, hold, capfd):
    process = hold(tmp_path / "store", 0.5)
    with lock_folder(tmp_path / "store"):
        assert (tmp_path / "store" / "done").exists()
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1 and f"store: waiting for process {process.pid} on " in said[0] and "0.5" in said[0]
    assert os.listdir(tmp_path / "store") == ["done"]


def test_second_process_is_refused_where_it_must_not_wait(tmp_path, hold):
    process = hold(tmp_path / "ckpt", 60)
    refused = pytest.raises(InputError, match=f"ckpt: process {process.pid} on .* writes here: wait for it, or end it")
    with refused, lock_folder(tmp_path / "ckpt", wait=False):
        pass


def test_lock_ends_with_a_process_that_is_killed(tmp_path, hold):
    process = hold(tmp_path / "store", 60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "store" / ".lock").exists()
    with lock_folder(tmp_path / "store", wait=False):
        pass
    assert not (tmp_path / "store" / ".lock").exists() if (tmp_path / "store").exists() else True


def test_parts_and_files_have_locks_of_their_own(tmp_path, hold):
    hold(tmp_path, 60)
    with lock_folder(tmp_path, part="1-of-2", wait=False), lock_output(tmp_path / "a.mindir", wait=False):
        (tmp_path / "a.mindir").touch()
    assert not list(tmp_path.glob(".a.mindir*"))


def test_nested_lock_of_one_process_is_none(tmp_path):
    with lock_folder(tmp_path), lock_folder(tmp_path, wait=False):
        pass
    assert not os.listdir(tmp_path)


def test_failed_work_leaves_no_folder_and_no_lock(tmp_path):
    with pytest.raises(KeyError), lock_folder(tmp_path / "a" / "b"):
        raise KeyError
    assert not os.listdir(tmp_path)
    with pytest.raises(KeyError), lock_output(tmp_path / "a" / "model.ckpt"):
        raise KeyError
    assert not os.listdir(tmp_path)


def test_folder_that_the_holder_removes_is_made_again(tmp_path, hold):
    script = HOLD.replace('Path(folder, "done").touch()', "")
    started = tmp_path / "started"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "new"), str(started), "0.3"]):
        while not started.exists():
            time.sleep(0.01)
        with lock_folder(tmp_path / "new"):
            assert (tmp_path / "new" / ".lock").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_system_without_locks_is_said_once(tmp_path, monkeypatch, capsys, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    for _ in range(2):
        with lock_folder(tmp_path):
            (tmp_path / "written").touch()
    assert capsys.readouterr().err.count("cannot be locked") == 1


def test_system_without_fcntl_is_said_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    for _ in range(2):
        with lock_folder(tmp_path):
            pass
    assert capsys.readouterr().err.count("no file locks") == 1


def test_other_failures_of_a_lock_are_errors(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(OSError, match="Input/output error"), lock_folder(tmp_path):
        pass
