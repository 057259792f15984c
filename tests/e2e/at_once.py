"""Run one command several times at once: processes forked from one that has imported what the command needs.

The processes start within milliseconds of each other and spend no time on imports, so that twenty pairs take seconds,
and meet more often than commands that are started from a shell. One process serves many commands: it imports what a
command needs before it forks for the first time.
"""

import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Done(NamedTuple):
    """How a process ended."""

    code: int
    output: str
    errors: str


class AtOnce:
    """A process that runs commands as often as it is asked to; a context manager.

    Args:
        environment: of the processes.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._server = subprocess.Popen([sys.executable, __file__], env=environment, text=True, **pipes)

    def __enter__(self) -> "AtOnce":
        return self

    def __exit__(self, *_) -> None:
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()

    def run(
        self, command: Sequence[str], folder: Path, *further: Sequence[str], preloaded: Sequence[str] = ()
    ) -> list[Done]:
        """Run the command in `folder` with each of these further arguments at once.

        Args:
            command: `[python, FILE.py, ...]` or `[python, "-m", MODULE, ...]`; others are started without forking.
            preloaded: modules that the command imports late.
        """
        if command[0] != sys.executable:
            options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": self._environment}
            started = [subprocess.Popen([*command, *words], cwd=folder, **options) for words in further]
            ended = [(*process.communicate(timeout=600), process.returncode) for process in started]
            return [Done(code, output, errors) for output, errors, code in ended]
        print(json.dumps([command[1:], preloaded, str(folder), further]), file=self._server.stdin, flush=True)
        answer = self._server.stdout.readline()
        assert answer, "the process that forks has ended: see its errors"
        return [Done(*ended) for ended in json.loads(answer)]


def serve() -> None:
    """Run a command for each line of standard input; import it before the first time."""
    known = set()
    for line in sys.stdin:
        words, preloaded, folder, further = json.loads(line)
        command = words[1] if words[0] == "-m" else words[0]
        if command not in known:
            for name in (*preloaded, command) if words[0] == "-m" else preloaded:
                importlib.import_module(name)
            if words[0] != "-m":
                runpy.run_path(command, run_name="imported")
            known.add(command)
        with tempfile.TemporaryDirectory() as texts:
            started = [start([*words, *more], folder, Path(texts, str(index))) for index, more in enumerate(further)]
            print(json.dumps([end(*process) for process in started]), flush=True)


def start(words: Sequence[str], folder: str, texts: Path) -> tuple[int, Path]:
    """Fork a process that runs the command and writes the files TEXTS.1 (output) and TEXTS.2 (errors)."""
    process = os.fork()
    if process == 0:
        code = 70  # when not even the traceback can be written
        try:
            for number in (1, 2):
                os.dup2(os.open(f"{texts}.{number}", os.O_WRONLY | os.O_CREAT), number)
            os.chdir(folder)
            code = call(words)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    return process, texts


def call(words: Sequence[str]) -> int:
    """Run the command in this process; return its exit code."""
    sys.path.insert(0, "" if words[0] == "-m" else str(Path(words[0]).parent))
    try:
        if words[0] == "-m":
            sys.argv = list(words[1:])
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = list(words)
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 0 if leave.code is None else 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def end(process: int, texts: Path) -> Done:
    """Wait for a process."""
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    output, errors = (Path(f"{texts}.{number}").read_text(encoding="utf-8", errors="replace") for number in (1, 2))
    return Done(code, output, errors)


if __name__ == "__main__":
    serve()
