"""User-facing errors and exit codes, and the surroundings of an entry point: text encoding and closed pipes."""

import difflib
import errno
import io
import os
import select
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Optional, TextIO

PIPE_CLOSED = 141  # 128 + SIGPIPE: what a shell reports of `yes | head`


class InputError(ValueError):
    """The user's data or files are wrong: exit code 1. Says where, what was expected, what came, what to do."""


class UsageError(InputError):
    """Arguments or configuration are wrong: exit code 2."""


class Stopped(Exception):  # noqa: N818 - not an error
    """A signal ended the work in good order: exit code 128 and the signal's number, as a shell gives it.

    Args:
        message: what was done and how to go on.
        signal_number: the signal.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def did_you_mean(given: str, known: Iterable[str], otherwise: str = ".", prefix: str = "") -> str:
    """Return the end of a message about an unknown name: `; did you mean 'nearest'?`.

    Args:
        given: what the user wrote; its case does not matter.
        known: the names that there are.
        otherwise: returned when none of them is near.
        prefix: stands before the name that is proposed.
    """
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(given.lower(), by_lower, n=1)
    return f"; did you mean '{prefix}{by_lower[near[0]]}'?" if near else otherwise


def run(main: Callable[[Optional[Sequence[str]]], int]) -> int:
    """Call an entry point and turn what a user can cause into one line on stderr and an exit code.

    Anything else is our own mistake and keeps its traceback. MindSpore, when it is imported after this, prints errors
    only: its warnings are about its own internals.

    File names are UTF-8 here, whatever the locale; what the terminal cannot show is printed as an escape such as
    `\\u58f0`. When whoever reads the output goes away (`eval.py | head`), the command ends without a word and with
    exit code 141, like any other program that a closed pipe ends.
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
        return PIPE_CLOSED if closed else _fail(str(error), 1)  # another pipe than standard output and error
    except OSError as error:  # of a file, or of what is printed, to a disk that is full
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


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"no space left while writing {error.filename or 'a file'}: free some and run again."
    return str(error)


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _use_utf8() -> None:
    """Start this program again in Python's UTF-8 mode where the locale has another encoding.

    Python fixes the encoding of file names when it starts. With another one, names in UTF-8 become text that neither
    csv, JSON nor MindSpore's C++ can take. Decoding every name by hand would have to be right at every call, in every
    library and in every child process; the mode is inherited by all of them.
    """
    is_utf8 = sys.getfilesystemencoding().lower().replace("-", "") == "utf8"
    if not is_utf8 and sys._xoptions.get("utf8") != "0":  # which asks for the locale's encoding
        for stream in _streams():
            stream.flush()
        os.environ["PYTHONUTF8"] = "1"
        os.environ["PYTHONIOENCODING"] = f"{getattr(sys.stdout, 'encoding', 'ascii')}:backslashreplace"
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    for stream in _streams():
        if isinstance(stream, io.TextIOWrapper):
            # Each line in one write, at once: where standard output and error go into one log by two pipes, lines
            # otherwise come late, or (PYTHONUNBUFFERED) another line gets between a line and its end.
            stream.reconfigure(errors="backslashreplace", line_buffering=True, write_through=False)


def _streams() -> list[TextIO]:
    """Return standard output and error; a process may be started without."""
    return [stream for stream in (sys.stdout, sys.stderr) if stream is not None]


def _is_closed(stream: TextIO) -> bool:
    """Tell whether a stream is a pipe that nobody reads any more."""
    if not hasattr(select, "poll"):  # Windows
        return True
    poll = select.poll()
    poll.register(stream, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _drop(stream: TextIO) -> None:
    """Send what a stream still holds to nowhere: Python's flush at the end would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
