"""Print messages for the operator of the service."""

import sys
import traceback
from contextlib import suppress


def warn(text: object) -> None:
    """Print a warning; if that fails, for example on a full disk, calls continue."""
    with suppress(OSError):
        print(f"warning: {text}", file=sys.stderr, flush=True)


def print_failure() -> None:
    """Print the current exception."""
    with suppress(OSError):
        traceback.print_exc(file=sys.stderr)
