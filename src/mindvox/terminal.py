"""The form of printed lines, the same for all commands."""

import textwrap
from collections.abc import Sequence

WIDTH = 100
"""Columns of a printed line and of --help."""


def folded(line: str, hanging: int = 2) -> str:
    """Return a line folded at blanks to WIDTH columns; a word that is longer than a line, such as a path, stays whole.

    Args:
        hanging: columns by which continuations are indented more than the line.
    """
    indent = line[: len(line) - len(line.lstrip(" "))]
    return textwrap.fill(
        line.strip(),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + " " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table_lines(rows: Sequence[Sequence[str]], right: bool = False) -> list[str]:
    """Return the lines of a table, with two blanks between columns.

    Args:
        rows: cells, the header's first; all rows have the same number.
        right: align the columns after the first to the right, as for numbers.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if right and index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
