"""The command `mindvox`: its subcommands, and what their --help prints."""

import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Iterator
from unittest import mock

from mindvox.cli import COMMANDS, main
from mindvox.docs.markdown import table
from mindvox.errors import PIPE_CLOSED, InputError, Stopped, UsageError

COLUMNS = 100
OF_KEYS = {
    "train": "keys.md",
    "eval": "keys.md",
    "export": "keys.md",
    "prepare train": "keys.md",
    "prepare eval": "keys.md",
    "prepare merge": "keys.md",
}
"""Commands whose arguments are the keys of a YAML file, which have tables of their own."""
SUBCOMMANDS = re.compile(r"(?m)^  \{([\w,-]+)\}$")


def commands() -> list[str]:
    """Return a table of the commands."""
    rows = [(f"[`mindvox {name}`](#{_anchor(name)})", command.summary) for name, command in COMMANDS.items()]
    return table(("Command", "What it does"), rows)


def help_of_commands() -> list[str]:
    """Return a section for each command with what --help prints."""
    lines: list[str] = []
    for name in COMMANDS:
        lines += [f"## mindvox {name}", ""]
        if name in OF_KEYS:
            usage = help_text(*name.split()).split("\n\n")[0]
            lines += ["```text", usage, "```", "", f"Every key is described in [{OF_KEYS[name]}]({OF_KEYS[name]}).", ""]
            continue
        text = help_text(*name.split())
        lines += ["```text", text, "```", ""]
        match = SUBCOMMANDS.search(text)
        for word in match[1].split(",") if match else ():
            lines += ["```text", help_text(*name.split(), word), "```", ""]
    return "\n".join(lines).rstrip("\n").split("\n")


def help_text(*words: str) -> str:
    """Return what `mindvox WORDS --help` prints on a terminal of 100 columns."""
    printed = io.StringIO()
    with _neutral(), contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*words, "--help"])
    return "\n".join(line.rstrip() for line in printed.getvalue().strip("\n").split("\n"))


@contextlib.contextmanager
def _neutral() -> Iterator[None]:
    """Remove from a help text what depends on the user's environment."""
    with mock.patch.dict(os.environ, COLUMNS=str(COLUMNS)), mock.patch.object(sys, "argv", list(sys.argv)):
        for name in [name for name in os.environ if name.startswith("MINDVOX_")]:
            del os.environ[name]
        yield


def _anchor(name: str) -> str:
    return f"mindvox-{name.replace(' ', '-')}"


def exit_codes() -> list[str]:
    """Return tables of the exit codes: the common ones, and those that a command's --help adds."""
    general = [
        ("0", "done"),
        (_code_in(InputError), "failed: files, data or the machine"),
        (_code_in(UsageError), "wrong arguments or configuration"),
        (str(128 + signal.SIGINT), "interrupted (Ctrl-C)"),
        (str(PIPE_CLOSED), "the reader of the output has gone, as after `| head`"),
        (str(Stopped("", signal.SIGTERM).exit_code), "training was stopped and has written a checkpoint"),
    ]
    own = []
    for name in COMMANDS:
        text = "" if name in OF_KEYS else " ".join(help_text(*name.split()).split())
        if match := re.search(r"Exit codes: (.*?\.)(?= |$)", text):
            own.append((f"`mindvox {name}`", match[1].removesuffix(".")))
    return [*table(("Code", "Meaning"), general), "", *table(("Command", "Its own"), own)]


def _code_in(error: type) -> str:
    """Return the exit code in an error's docstring."""
    match = re.search(r"exit code (\d+)", error.__doc__ or "")
    assert match, error
    return match[1]
