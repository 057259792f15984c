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
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return _fail(f"no space left while writing {error.filename or 'a file'}: free some and run again.", 1)
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted.", 130)


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code
