"""Generated blocks of pages, and generated comments of YAML files.

    <!-- generated: NAME WORD ... -->

    ...

    <!-- end -->

NAME is one of `RENDERERS`, which gets the words and the present lines of the block.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mindvox.cli.models import markdown_table
from mindvox.config import ROOT
from mindvox.docs.api import api
from mindvox.docs.commands import commands, exit_codes, help_of_commands
from mindvox.docs.extras import extras
from mindvox.docs.keys import FILES, class_keys, classes, commented_file, file_keys
from mindvox.docs.references import references
from mindvox.errors import InputError, did_you_mean
from mindvox.files import atomic_path, read_text

BLOCK = re.compile(r"(?m)^<!-- generated: (?P<name>.*?) -->\n(?P<body>.*?)^<!-- end -->$", re.DOTALL)
MARK = re.compile(r"(?m)^<!-- generated: .* -->$")


class Block(NamedTuple):
    """A block of a page: its position, its present text and its wanted text."""

    page: Path
    name: str
    before: list[str]
    after: list[str]

    @property
    def is_current(self) -> bool:
        """Whether the block is up to date."""
        return self.before == self.after

    def changes(self) -> list[str]:
        """Return the removed and added lines in the form of a diff."""
        gone = [f"- {line}" for line in self.before if line not in self.after]
        return gone + [f"+ {line}" for line in self.after if line not in self.before]


Renderer = Callable[[Sequence[str], Sequence[str]], list[str]]
RENDERERS: dict[str, Renderer] = {
    "api": lambda words, before: api(),
    "classes": lambda words, before: classes(*words),
    "class-keys": lambda words, before: class_keys(*words),
    "commands": lambda words, before: commands(),
    "exit-codes": lambda words, before: exit_codes(),
    "extras": lambda words, before: extras(),
    "extras-in-chinese": lambda words, before: extras(before),
    "file-keys": lambda words, before: file_keys(*words),
    "file-keys-in-chinese": lambda words, before: file_keys(*words, translated=before),
    "help": lambda words, before: help_of_commands(),
    "networks": lambda words, before: list(before),  # takes minutes, so only on request
    "public-models": lambda words, before: markdown_table().splitlines(),
    "references": lambda words, before: references(),
}


def pages() -> list[Path]:
    """Return the pages of the project: those at the root and those in docs/."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, renderers: Mapping[str, Renderer] = RENDERERS) -> Iterator[Block]:
    """Return the blocks of a page.

    Args:
        page: the page.
        renderers: functions that render blocks, by the first word of their names.

    Raises:
        InputError: a block has no end, or an unknown name.
    """
    text = read_text(page)
    found = list(BLOCK.finditer(text))
    if len(found) != len(MARK.findall(text)):
        raise InputError(f"{page}: a block '<!-- generated: ... -->' has no line '<!-- end -->' behind it.")
    for match in found:
        before = _lines(match["body"])
        kind, *words = match["name"].split()
        if kind not in renderers:
            raise InputError(f"{page}: no generated block '{kind}'{did_you_mean(kind, renderers)}")
        yield Block(page, match["name"], before, renderers[kind](words, before))


def comments() -> Iterator[Block]:
    """Return the shipped YAML files, each as one block: the comments of their keys."""
    for name, (path, _) in FILES.items():
        yield Block(ROOT / path, "comments", read_text(ROOT / path).splitlines(), commented_file(name))


def write(page: Path, found: Sequence[Block]) -> None:
    """Write the wanted text of the blocks of a page, or of a YAML file."""
    if page.suffix == ".yaml":
        (block,) = found
        with atomic_path(page) as temporary:
            temporary.write_text("\n".join([*block.after, ""]), encoding="utf-8")
        return
    by_name = {block.name: block for block in found}

    def lines(match: re.Match) -> str:
        body = "\n".join(by_name[match["name"]].after)
        return f"<!-- generated: {match['name']} -->\n\n{body}\n\n<!-- end -->"

    text = BLOCK.sub(lines, read_text(page))
    with atomic_path(page) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _lines(body: str) -> list[str]:
    return body.strip("\n").split("\n") if body.strip() else []
