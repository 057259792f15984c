"""The extras of pyproject.toml, described by its comments."""

import re
from collections.abc import Sequence
from typing import Optional

from mindvox.config import ROOT
from mindvox.docs.markdown import cells, table
from mindvox.errors import InputError
from mindvox.files import read_text

LINE = re.compile(r"^(?P<name>\w+) = \[.*\](?: # (?P<use>.*))?$")


def extras(translated: Optional[Sequence[str]] = None) -> list[str]:
    """Return a table of the extras.

    Args:
        translated: lines of the Chinese block, from which the uses are taken; None: English.

    Raises:
        InputError: an extra has no comment, or no use in Chinese.
    """
    path = ROOT / "pyproject.toml"
    part = read_text(path).split("[project.optional-dependencies]\n")[1].split("\ndev = [")[0]
    rows = []
    for match in filter(None, map(LINE.match, part.splitlines())):
        if not match["use"]:
            raise InputError(f"{path}: {match['name']}: expected a comment behind it that says what the extra is for.")
        rows.append((f"`.[{match['name']}]`", match["use"]))
    rows += [("`.[dev]`", "the tests, and all of these that they need")]
    if translated is None:
        return table(("Extra", "For"), rows)
    uses = {row[0]: row[-1] for row in map(cells, translated)}
    for name, use in rows:
        if name not in uses:
            raise InputError(f"docs/modelzoo_CN.md: extra {name}: add a line that says in Chinese: {use}.")
    return table(("名称", "用途"), [(name, uses[name]) for name, _ in rows])
