"""Markdown of generated blocks."""

import re
from collections.abc import Iterable, Sequence

SENTENCE_END = re.compile(r"(?<!et al)\. ")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    return [line(head), "|" + "---|" * len(head), *map(line, rows)]


def line(cells: Sequence[str]) -> str:
    """Return one line of a table; a bar in a cell is escaped."""
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def cells(text: str) -> list[str]:
    """Return the cells of a table's line, bars unescaped."""
    inner = text.strip().removeprefix("|").removesuffix("|")
    parts = inner.replace(r"\|", "\0").split("|")
    return [part.strip().replace("\0", "|") for part in parts]


def first_sentence(text: str) -> str:
    """Return the first sentence of a docstring, on one line, without its full stop."""
    paragraph = " ".join((text or "").strip().split("\n\n")[0].split())
    sentence = SENTENCE_END.split(paragraph, maxsplit=1)[0]
    return sentence.removesuffix(".").removesuffix(":")
