"""Arguments of commands."""

import argparse
from typing import NoReturn

from mindvox.errors import UsageError


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes of the user are UsageErrors, which `errors.run` prints in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}. See --help.")
