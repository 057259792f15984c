"""User-facing errors, exit codes, and the environment of an entry point: text encoding and closed pipes."""

import difflib
import errno
import io
import os
import re
import select
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Optional, TextIO

DEBIAN_PACKAGES = {"libgomp.so.1": "libgomp1"}
"""Packages of shared libraries that MindVox's dependencies need and a small Debian lacks."""
PIPE_CLOSED = 141  # 128 + SIGPIPE, which shells report for `yes | head`


class InputError(ValueError):
    """The user's data or files are wrong: exit code 1. The message says where, what was expected, what came
    and what to do.
    """


class UsageError(InputError):
    """The arguments or the configuration are wrong: exit code 2."""


class Stopped(Exception):  # noqa: N818 - not an error
    """A signal stopped the work gracefully: exit code 128 plus the signal's number, as in shells.

    Args:
        message: what was done and how to continue.
        signal_number: the signal.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def did_you_mean(given: str, known: Iterable[str], otherwise: str = ".", prefix: str = "") -> str:
    """Return the end of a message about an unknown name: `; did you mean 'nearest'?`.

    Args:
        given: what the user wrote; its case does not matter.
        known: the existing names.
        otherwise: returned if no name is similar.
        prefix: put before the suggested name.
    """
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(given.lower(), by_lower, n=1)
    return f"; did you mean '{prefix}{by_lower[near[0]]}'?" if near else otherwise


def advice_on_library(message: str) -> str:
    """Return what to do about a missing shared library, or an empty string if the message is about something else.

    Args:
        message: of an ImportError, or of the dynamic linker of Linux.
    """
    found = re.search(r"(\S+): cannot open shared object file: No such file", message)
    if not found:
        return ""
    package = DEBIAN_PACKAGES.get(found[1])
    debian = f" (Debian and Ubuntu: `sudo apt-get install {package}`)" if package else ""
    return f"install the system's package with {found[1]}{debian}, or name the library's folder in LD_LIBRARY_PATH"


def run(main: Callable[[Optional[Sequence[str]]], int]) -> int:
    """Call an entry point; turn errors that a user can cause into one line on stderr and an exit code.

    Any other exception is a bug and keeps its traceback. If MindSpore is imported later, it logs errors only, because
    its warnings concern its internals.

    File names are UTF-8 whatever the locale; characters that the terminal cannot show are printed as escapes such as
    `\\u58f0`. If the reader of the output goes away (`eval.py | head`), the command ends silently with exit code 141,
    like any program that writes to a closed pipe.
    """
    os.environ.setdefault("GLOG_v", "3")
    _use_utf8()
    try:
        try:
            return _call(main)
        finally:  # also after --help, which raises SystemExit
            for stream in _streams():
                stream.flush()
    except BrokenPipeError as error:
        closed = [stream for stream in _streams() if _is_closed(stream)]
        for stream in closed:
            _drop(stream)
        return PIPE_CLOSED if closed else _fail(str(error), 1)  # a pipe other than standard output and error
    except OSError as error:  # a disk is full, under a file or under redirected output
        for stream in _streams():
            try:
                stream.flush()
            except OSError:
                _drop(stream)
        return _fail(_reason(error), 1)


def _call(main: Callable[[Optional[Sequence[str]]], int]) -> int:
    try:
        return main(None)
    except UsageError as error:
        return _fail(str(error), 2)
    except InputError as error:
        return _fail(str(error), 1)
    except Stopped as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        return _fail("interrupted.", 130)
    except ImportError as error:
        advice = advice_on_library(str(error))
        if not advice:
            raise
        return _fail(f"{error}: {advice}.", 1)


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"no space left while writing {error.filename or 'a file'}: free some space and run again."
    return str(error)


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _use_utf8() -> None:
    """Restart this program in Python's UTF-8 mode if the locale has another encoding.

    Python fixes the encoding of file names at startup. With another encoding, UTF-8 names become text that csv, JSON
    and MindSpore's C++ reject. Decoding every name by hand would have to be right in every call, library and child
    process; child processes inherit the mode.
    """
    is_utf8 = sys.getfilesystemencoding().lower().replace("-", "") == "utf8"
    if not is_utf8 and sys._xoptions.get("utf8") != "0":  # 0 asks for the locale's encoding
        for stream in _streams():
            stream.flush()
        os.environ["PYTHONUTF8"] = "1"
        os.environ["PYTHONIOENCODING"] = f"{getattr(sys.stdout, 'encoding', 'ascii')}:backslashreplace"
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    for stream in _streams():
        if isinstance(stream, io.TextIOWrapper):
            # Write each line at once and whole: if standard output and error share a log through two pipes, lines
            # would otherwise come late or, with PYTHONUNBUFFERED, be split by other lines.
            stream.reconfigure(errors="backslashreplace", line_buffering=True, write_through=False)


def _streams() -> list[TextIO]:
    """Return standard output and error; a process may lack them."""
    return [stream for stream in (sys.stdout, sys.stderr) if stream is not None]


def _is_closed(stream: TextIO) -> bool:
    """Return whether a stream is a pipe whose reader has gone."""
    if not hasattr(select, "poll"):  # Windows
        return True
    poll = select.poll()
    poll.register(stream, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _drop(stream: TextIO) -> None:
    """Discard what a stream still buffers; Python's flush at exit would fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
