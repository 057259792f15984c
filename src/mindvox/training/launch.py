"""Start training on the devices of a rank table: mindvox train-distributed [RANK_TABLE_FILE] [--key=value ...].

It starts one process per device through MindSpore's msrun. For several servers, run it on each: docs/distributed.md.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Optional

import psutil  # a dependency of MindSpore

from mindvox.arguments import Parser
from mindvox.config import ROOT, Config, load_config
from mindvox.errors import InputError, Stopped, UsageError, run
from mindvox.files import expand_path
from mindvox.parallel import THREAD_VARIABLES, num_cores
from mindvox.training.rank_table import RankTable, Server, local_addresses, read_rank_table, table_of_devices

DEFAULT_PORT = 8118
TABLE_VARIABLE = "RANK_TABLE_FILE"
LEFT_VARIABLE = "MINDVOX_LEFT_FOLDER"  # folder in which each worker leaves a file when its work is done
COLLECTIVE_TIMEOUT_S = 3600  # how long a rank waits for the others, for example while rank 0 validates
LEAVE_S = 120  # time to finish a step and write a checkpoint after SIGTERM
POLL_S = 0.2
LAST_LINES = 20
LOG_LEVEL = "GLOG_v"
ERRORS_ONLY = "3"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")  # in MindSpore's numbering, from 0
LOG_LINE = re.compile(rf"\[({'|'.join(LOG_LEVELS)})\] \w+\(\d+,")
GONE = (psutil.NoSuchProcess, ProcessLookupError)
FAILURE = re.compile(r"Worker process (\d+) exit with exception\. Error code: (-?\d+)")  # msrun 2.10


@dataclass(frozen=True)
class Job:
    """One server's part of a run.

    Args:
        table: the rank table with all servers.
        server: this server.
        port: port of msrun's scheduler on the first server.
        target: "CPU", "GPU" or "Ascend".
    """

    table: RankTable
    server: Server
    port: int
    target: str

    @property
    def is_alone(self) -> bool:
        """Whether this is the only server."""
        return len(self.table.servers) == 1

    @property
    def is_first(self) -> bool:
        """Whether the scheduler runs here."""
        return self.server == self.table.servers[0]

    def command(self, log_dir: Path, arguments: Sequence[str], program: Path = ROOT / "train.py") -> list[str]:
        """Return msrun's command line, which starts a program with these arguments for every local device."""
        options = {
            "worker_num": self.table.num_ranks,
            "local_worker_num": len(self.server.devices),
            "node_rank": self.table.servers.index(self.server),
            "master_addr": "127.0.0.1" if self.is_alone else self.table.servers[0].server_id,
            "master_port": self.port,
            "log_dir": log_dir,
            "tail_worker_log": self.table.num_ranks,  # no rank's: msrun kills its tail before the last lines
            "join": True,
        }
        if self.target == "CPU" and shutil.which("taskset"):
            options["bind_core"] = bound_cores(len(self.server.devices), sorted(os.sched_getaffinity(0)))
        msrun = [sys.executable, "-m", "mindspore.parallel.cluster.run"]
        words = [f"--{name}={value}" for name, value in options.items()]
        return [*msrun, *words, "python", str(program), *arguments]

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of msrun and of its processes."""
        environment = {**inherited, "PYTHONUNBUFFERED": "1"}
        environment.setdefault(LOG_LEVEL, ERRORS_ONLY)
        environment.pop(TABLE_VARIABLE, None)  # MindSpore would look for its ranks there
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "src"), inherited.get("PYTHONPATH")]))
        # msrun starts the first `python` in PATH.
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", "")])
        if self.target == "CPU":
            environment.setdefault("MS_CPU_COMM_OP_TIMEOUT", str(COLLECTIVE_TIMEOUT_S))  # the default is 30 s
            threads = max(1, num_cores() // len(self.server.devices))
            for variable in THREAD_VARIABLES:
                environment.setdefault(variable, str(threads))
        if self.target == "Ascend" and self.server.device_ids != list(range(len(self.server.devices))):
            # MindSpore numbers the visible devices from 0.
            environment["ASCEND_RT_VISIBLE_DEVICES"] = ",".join(map(str, self.server.device_ids))
        return environment


def bound_cores(num_workers: int, cores: Sequence[int]) -> str:
    """Return msrun's `bind_core`, which assigns cores to every worker; False if there are too few."""
    share = len(cores) // num_workers
    if share == 0:
        return "False"
    shares = [cores[index * share : (index + 1) * share] for index in range(num_workers)]
    return json.dumps({f"device{index}": [str(core) for core in found] for index, found in enumerate(shares)})


def choose_port(port: Optional[int], may_change: bool) -> int:
    """Return a free port for the scheduler on this machine.

    Args:
        port: the requested port; None: the default one.
        may_change: whether another port than the default may be taken, because no other server needs to know it.

    Raises:
        InputError: the port is taken.
    """
    first = port or DEFAULT_PORT
    for candidate in range(first, first + (100 if may_change and port is None else 1)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", candidate))
                return candidate
            except OSError:
                continue
    raise InputError(
        f"port {first} is taken, perhaps by another training. Stop that, or give all servers another port: "
        "--master_port=NUMBER."
    )


def is_wanted(line: str) -> bool:
    """Return whether to show a line of a worker's output; lines of MindSpore's log below level GLOG_v are hidden.

    During shutdown, MindSpore (2.10) ignores that level and logs how its connections end.
    """
    match, level = LOG_LINE.match(line), os.environ.get(LOG_LEVEL, "")
    return match is None or LOG_LEVELS.index(match[1]) >= int(level if level.isdecimal() else ERRORS_ONLY)


class Follower:
    """Copies a worker's growing log to this program's output, whole lines at a time; see `is_wanted`."""

    def __init__(self, path: Path) -> None:
        self.stream = open(path, encoding="utf-8", errors="replace")  # noqa: SIM115 - followed until the end
        self.rest = ""

    def copy(self, at_end: bool = False) -> None:
        """Copy what is new; an incomplete line waits for its end, unless the log is finished."""
        lines = (self.rest + self.stream.read()).splitlines(keepends=True)
        self.rest = lines.pop() if lines and not at_end and not lines[-1].endswith("\n") else ""
        sys.stdout.write("".join(line for line in lines if is_wanted(line)))
        sys.stdout.flush()


class Processes:
    """msrun with its scheduler and workers; each worker has its own session."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        with open(log, "wb") as stream:
            self.msrun = subprocess.Popen(
                command, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.log = log
        self.workers: dict[int, psutil.Process] = {}
        self.scheduler: Optional[psutil.Process] = None
        self.rank_of: dict[int, int] = {}

    def find(self) -> None:
        """Record the processes that msrun has started since the last call."""
        try:
            children = psutil.Process(self.msrun.pid).children()
        except psutil.NoSuchProcess:
            return
        for child in children:
            if child.pid in self.rank_of:
                continue
            try:
                variables = child.environ()
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, OSError):
                continue
            if variables.get("MS_ROLE") == "MS_SCHED":
                self.scheduler = child
            elif variables.get("MS_ROLE") == "MS_WORKER":
                self.workers[child.pid] = child
                self.rank_of[child.pid] = int(variables["MS_NODE_ID"])

    def failure(self) -> Optional[tuple[Optional[int], int]]:
        """Return rank and exit code of the first worker that failed, according to msrun's output; None: none has."""
        match = FAILURE.search(self.log.read_text(encoding="utf-8", errors="replace"))
        return (self.rank_of.get(int(match[1])), int(match[2])) if match else None

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the workers; stop msrun first, because it kills all workers as soon as one has left."""
        self.find()
        self.msrun.kill()
        for worker in self.workers.values():
            with suppress(*GONE):
                worker.terminate()

    def running(self) -> list[psutil.Process]:
        """Return the workers that are still running."""
        return [worker for worker in self.workers.values() if self._is_alive(worker)]

    def kill(self) -> None:
        """Kill all remaining processes: workers with their children, scheduler and msrun."""
        self.find()
        for worker in self.running():
            with suppress(*GONE):
                os.killpg(worker.pid, signal.SIGKILL)
        if self.scheduler and self._is_alive(self.scheduler):
            with suppress(*GONE):
                self.scheduler.kill()
        self.msrun.kill()
        self.msrun.wait()

    def _is_alive(self, process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def supervise(job: Job, arguments: Sequence[str], program: Path = ROOT / "train.py") -> None:
    """Run a job, a program with these arguments in each process, until it ends.

    Raises:
        Stopped: a signal came; the workers were signalled and have left.
        InputError: a worker failed or was killed; the others were stopped too.
    """
    logs = {rank: Path(f"train_parallel{rank}") / "log" for rank in job.server.ranks}
    for log in logs.values():
        log.parent.mkdir(exist_ok=True)
        log.write_bytes(b"")
    with tempfile.TemporaryDirectory(prefix="msrun-") as folder, caught_signals() as signals:
        for rank, log in logs.items():  # msrun uses other names
            (Path(folder) / f"worker_{rank}.log").symlink_to(log.absolute())
        first = logs[job.server.ranks[0]]
        (Path(folder) / "scheduler.log").symlink_to(first.with_name("scheduler.log").absolute())
        follower = Follower(first)
        environment = {**job.environment(os.environ), LEFT_VARIABLE: folder}
        processes = Processes(job.command(Path(folder), arguments, program), environment, first.with_name("msrun.log"))
        has_ended_well = False
        try:
            has_ended_well = _wait(processes, len(logs), Path(folder), follower, signals)
        finally:
            processes.kill()
            follower.copy(at_end=True)
    if signals:
        raise Stopped("stopped; all processes of this server have ended.", signals[0])
    failure = processes.failure()
    if failure or not has_ended_well:
        _explain(failure, logs, first.with_name("msrun.log"))


def _wait(processes: Processes, num_workers: int, folder: Path, follower: Follower, signals: list[int]) -> bool:
    """Return when msrun has ended, a worker has failed, or all work is done; return whether all is well."""
    while processes.msrun.poll() is None:
        processes.find()
        follower.copy()
        if signals:
            _wait_until_left(processes, follower, signals)
        elif processes.failure():
            return False  # msrun would now kill the other workers, then wait half a minute for the scheduler
        elif len(list(folder.glob("left-*"))) == num_workers:
            return True  # msrun waits for the scheduler, which waits for workers that have left
        time.sleep(POLL_S)
    return processes.msrun.returncode == 0


def _wait_until_left(processes: Processes, follower: Follower, signals: list[int]) -> None:
    print("stopping: every process finishes its step; a second signal ends at once.", file=sys.stderr)
    processes.ask_to_stop()
    deadline = time.monotonic() + LEAVE_S
    while processes.running() and time.monotonic() < deadline and len(signals) == 1:
        follower.copy()
        time.sleep(POLL_S)


def _explain(failure: Optional[tuple[Optional[int], int]], logs: Mapping[int, Path], msrun_log: Path) -> None:
    rank, code = failure or (None, 0)
    log = msrun_log if rank is None else logs.get(rank, msrun_log)
    who = "msrun" if rank is None else f"rank {rank}"
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code or 1}"
    if code > 128:  # another server was signalled, and all ranks agreed to stop
        raise Stopped(f"{who} {how}: stopped from another server.", code - 128)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last = "\n".join([line for line in lines if is_wanted(line)][-LAST_LINES:])
    hint = " (out of memory? `dmesg` tells)" if -code == signal.SIGKILL else ""
    kind = UsageError if code == 2 else InputError
    raise kind(f"{who} {how}{hint}; all others were stopped. The end of {log}:\n{last}")


@contextmanager
def caught_signals() -> Iterator[list[int]]:
    """Yield a list to which SIGINT, SIGTERM and SIGHUP are appended as they arrive, unless they are ignored."""
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    came: list[int] = []

    def add(number: int, _: Optional[FrameType]) -> None:
        came.append(number)

    before = {number: signal.signal(number, add) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def choose_table(path: str) -> RankTable:
    """Return the rank table of a file or, without one, a table of this machine's Ascend devices.

    Raises:
        UsageError: no file is given, and there is no Ascend device here.
        InputError: the file is wrong; see read_rank_table.
    """
    if path:
        return read_rank_table(path)
    table = table_of_devices()
    if table is None:
        raise UsageError(
            f"no rank table: give {TABLE_VARIABLE} as first argument or in the environment. There is no Ascend device "
            "here to make one for; hparams/rank_table_cpu_2.json is a table for a CPU (with --device_target=CPU)."
        )
    print(f"no rank table is given: using all {table.num_ranks} Ascend devices of this machine")
    return table


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Train on the devices of a rank table."""
    parser = Parser(
        prog="bash scripts/run_distribute_train.sh",
        usage=f"%(prog)s [{TABLE_VARIABLE}] [options] [--key=value ...]",
        description="Train on the devices of a rank table (HCCL's JSON, version 1.0), with one process each. For "
        "several servers, run it on each. The table is the argument, else the file that the environment variable "
        f"{TABLE_VARIABLE} names, else all Ascend devices of this machine.",
        epilog="Further --key=value arguments are train.py's.",
    )
    parser.add_argument("--server_id", default="", help="server_id of this server, if its address does not tell")
    parser.add_argument(
        "--master_port", type=int, help=f"port on the first server (default: {DEFAULT_PORT}; alone: the next free one)"
    )
    words = list(sys.argv[1:] if argv is None else argv)
    is_named = bool(words) and not words[0].startswith("-")
    path = words.pop(0) if is_named else os.environ.get(TABLE_VARIABLE, "")
    arguments, others = parser.parse_known_args(words)
    config = load_config(Config, others)
    try:
        path = expand_path(path)
    except ValueError as error:
        raise UsageError(f"{TABLE_VARIABLE}: {error}, got {path!r}.") from None
    table = choose_table(path)
    server = table.own_server(arguments.server_id, local_addresses())
    from mindvox.device import find_target  # after parsing: importing MindSpore takes seconds

    job = Job(table, server, arguments.master_port or DEFAULT_PORT, find_target(config.device_target))
    if job.is_first:
        job = replace(job, port=choose_port(arguments.master_port, job.is_alone))
    where = "" if job.is_alone else f" of {table.num_ranks}; this is {server.server_id}"
    print(f"starting ranks {server.ranks[0]} to {server.ranks[-1]}{where}; their output: train_parallel*/log")
    supervise(job, [*others, "--run_distribute=true"])
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
