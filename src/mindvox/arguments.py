"""Argument parsing of the commands."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, Optional

from mindvox.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError, which `errors.run` prints as one line, and takes no abbreviations.

    Unlike argparse's, it takes options between positional arguments that may be absent: `verify A --json B`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def parse_args(self, args: Optional[Sequence[str]] = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Return the arguments."""
        given = sys.argv[1:] if args is None else args
        if self._subparsers is not None or "--" in given:  # with these argparse cannot do it
            return super().parse_args(given, namespace)
        return self.parse_intermixed_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}. See --help.")
