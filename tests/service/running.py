"""A service in a process of its own, on a free port."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Optional

import httpx

from mindvox.service.tokens import SCOPES, TokenFile

OF_ONNX_RUNTIME = {".ses"}  # written when it is loaded
SERVER = "from mindvox.cli import console; raise SystemExit(console())"


class Running:
    """A service that runs; see `mindvox serve`.

    Args:
        folder: folder for its store, tokens and logs.
        home: folder for models.
        model: the speaker model.
        options: options of the command.
        needs_token: whether `tokens` has a token for each scope, and one for all scopes.
        store: the store of speakers; empty: a file in `folder`.
    """

    def __init__(
        self, folder: Path, home: Path, model: Path | str, *options: str, needs_token: bool = True, store: str = ""
    ) -> None:
        self.folder, self._home, self._model, self._options = folder, home, model, options
        self._store = store or str(folder / "speakers.db")
        self.temporary = folder / "tmp"  # its own, so that what others leave there is not taken for its
        self.temporary.mkdir(parents=True, exist_ok=True)
        self.audit_log = folder / "audit.jsonl"
        self.tokens: dict[str, str] = {}
        self.token_file = TokenFile(folder / "tokens.json")
        if needs_token:
            self.tokens = {scope: self.token_file.add(scope, [scope]) for scope in SCOPES}
            self.tokens["all"] = self.token_file.add("all", list(SCOPES))
        self.process: Optional[subprocess.Popen] = None
        self.address = ""

    def start(self) -> "Running":
        command = [sys.executable, "-c", SERVER, "serve", "--port=0", f"--model={self._model}"]
        command += [f"--store={self._store}", f"--tokens={self.token_file.path}"]
        command += [f"--audit_log={self.audit_log}", *self._options]
        environment = {**os.environ, "MINDVOX_HOME": str(self._home), "OMP_NUM_THREADS": "1"}
        environment["TMPDIR"] = str(self.temporary)
        with open(self.folder / "errors.log", "ab") as errors:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, cwd=self.folder
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening: "), self.errors
        self.address = line.split()[1]
        return self

    @property
    def errors(self) -> str:
        return (self.folder / "errors.log").read_text()

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def client(self, scope: str = "all", **more: Any) -> httpx.Client:
        token = self.tokens.get(scope)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.address, headers=headers, timeout=60, **more)

    def kill(self) -> None:
        """Kill it, as in a power failure."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self) -> int:
        """Tell it to end, and return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.process.stdout.close()
        return code

    def left_behind(self) -> list[str]:
        """Return the files left in its folder for temporary files, except those of ONNX Runtime."""
        return [path.name for path in self.temporary.iterdir() if path.name not in OF_ONNX_RUNTIME]

    def worker_ids(self) -> list[int]:
        """Return the process ids of its workers."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [child for thread in threads for child in thread.read_text().split()]
        return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]

    def memory(self) -> int:
        """Return the resident bytes of the service and its workers."""
        ids = [self.process.pid, *self.worker_ids()]
        return sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in ids) * os.sysconf("SC_PAGE_SIZE")


def has_ended(pid: int) -> bool:
    """Return whether a process has ended, also if it is still a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def until(condition: Any, timeout_s: float = 30.0) -> None:
    """Wait until a condition holds."""
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up, "it never came"
        time.sleep(0.05)
