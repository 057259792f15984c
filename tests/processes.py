"""Commands that a test runs in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path


def call(folder: Path, *command: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, "VIRTUAL_ENV": sys.prefix, "RANK_TABLE_FILE": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def must(folder: Path, *command: object, **environment: str) -> str:
    done = call(folder, *command, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
