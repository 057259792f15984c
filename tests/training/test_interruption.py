"""The first signal asks for a stop, its echo is ignored, the second ends the process."""

import signal
import subprocess
import sys

from mindvox.config import ROOT
from mindvox.errors import Stopped, run
from mindvox.training.interruption import Interruption

SCRIPT = """
import os, signal, time
from mindvox.training.interruption import ECHO_S, Interruption
with Interruption() as interruption:
    os.kill(os.getpid(), signal.SIGTERM)
    while interruption.signal is None:
        time.sleep(0.01)
    print(interruption.signal.name)
    signal.raise_signal(signal.SIGTERM)
signal.raise_signal(signal.SIGTERM)
print("not ended by echoes", flush=True)
time.sleep(ECHO_S + 0.1)
signal.raise_signal(signal.SIGINT)
print("still here")
"""


def test_handlers_come_back_when_nothing_was_asked():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert interruption.signal is None
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_first_signal_is_kept_its_echoes_ignored_and_a_second_ends_the_process():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "SIGTERM\nnot ended by echoes\n"
    assert done.stderr == "stopping after this step; a second signal ends at once, without a checkpoint\n"
    assert done.returncode == -signal.SIGINT


def test_stop_is_one_line_and_the_shells_exit_code(capsys):
    def stop(_) -> int:
        raise Stopped("stopped as requested after step 3", signal.SIGTERM)

    assert run(stop) == 143
    assert capsys.readouterr().err == "stopped as requested after step 3\n"
