"""Argument parsing of the commands."""

import argparse
from typing import NoReturn

from mindvox.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError, which `errors.run` prints as one line."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}. See --help.")
