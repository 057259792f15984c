"""The extras of pyproject.toml and what they are for, as its comments say."""

import re

from mindvox.config import ROOT
from mindvox.docs.markdown import table
from mindvox.errors import InputError
from mindvox.files import read_text

LINE = re.compile(r"^(?P<name>\w+) = \[.*\](?: # (?P<use>.*))?$")


def extras() -> list[str]:
    """Return a table of the extras.

    Raises:
        InputError: an extra has no comment.
    """
    path = ROOT / "pyproject.toml"
    part = read_text(path).split("[project.optional-dependencies]\n")[1].split("\ndev = [")[0]
    rows = []
    for match in filter(None, map(LINE.match, part.splitlines())):
        if not match["use"]:
            raise InputError(f"{path}: {match['name']}: expected a comment behind it that says what the extra is for.")
        rows.append((f"`.[{match['name']}]`", match["use"]))
    return table(("Extra", "For"), [*rows, ("`.[dev]`", "the tests, and all of these that they need")])
