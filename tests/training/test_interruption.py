"""The first signal asks for a stop, its echo is ignored, the second ends the process."""

import os
import signal
import subprocess
import sys
import time

from src.config import ROOT
from src.errors import Stopped, run
from src.training.interruption import Interruption

TWICE = """
import signal, time
from src.training.interruption import ECHO_S, Interruption
with Interruption() as interruption:
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    print(interruption.signal.name, flush=True)
    time.sleep(ECHO_S + 0.1)
    signal.raise_signal(signal.SIGINT)
    print("still here")
"""


def test_first_signal_is_kept_and_handlers_come_back(capsys):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        assert interruption.signal is None
        os.kill(os.getpid(), signal.SIGTERM)
        while interruption.signal is None:
            time.sleep(0.01)
    assert interruption.signal is signal.SIGTERM
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert capsys.readouterr().err == "stopping after this step; the same again ends without it\n"


def test_echo_of_the_first_signal_is_ignored_and_a_second_ends_the_process():
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == -signal.SIGINT and done.stdout == "SIGTERM\n"


def test_stop_is_one_line_and_the_shells_exit_code(capsys):
    def stop(_) -> int:
        raise Stopped("stopped as asked after step 3", signal.SIGTERM)

    assert run(stop) == 143
    assert capsys.readouterr().err == "stopped as asked after step 3\n"
