"""What a user can have wrong, and how an entry point says so."""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Optional


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


def run(main: Callable[[Optional[Sequence[str]]], int]) -> int:
    """Call an entry point and turn what a user can cause into one line on stderr and an exit code.

    Anything else is our own mistake and keeps its traceback. MindSpore, when it is imported after this, prints errors
    only: its warnings are about its own internals.
    """
    os.environ.setdefault("GLOG_v", "3")
    try:
        return main(None)
    except UsageError as error:
        return _fail(str(error), 2)
    except InputError as error:
        return _fail(str(error), 1)
    except Stopped as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return _fail(f"no space left while writing {error.filename or 'a file'}: free some and run again.", 1)
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted.", 130)


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code
