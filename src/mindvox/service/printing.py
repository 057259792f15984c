"""What the service prints for its operator."""

import sys
import traceback
from contextlib import suppress


def warn(text: object) -> None:
    """Print a warning; a log that cannot be written, such as on a full disk, stops no call."""
    with suppress(OSError):
        print(f"warning: {text}", file=sys.stderr, flush=True)


def print_failure() -> None:
    """Print the exception that is being handled."""
    with suppress(OSError):
        traceback.print_exc(file=sys.stderr)
