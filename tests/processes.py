"""Commands that a test runs in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def call(folder: Path, *command: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, "VIRTUAL_ENV": sys.prefix, "RANK_TABLE_FILE": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def skip_or_fail(reason: str) -> None:
    """Skip a test for which a package of the system is missing; where CI_REQUIRE_CPP=1 that is a failure."""
    if os.environ.get("CI_REQUIRE_CPP") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def must(folder: Path, *command: object, **environment: str) -> str:
    done = call(folder, *command, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
