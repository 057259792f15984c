"""Messages that the pages quote are messages of the code."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from mindvox.config import ROOT
from mindvox.docs.blocks import pages
from mindvox.docs.markdown import cells

SOURCES = ("src/mindvox/**/*.py", "scripts/*.sh", "*.sh", "ascend310_infer/**/*.cc", "ascend310_infer/*.sh")
TABLE = re.compile(r"(?m)^\| Message \|.*\n\|[-|]+\n(?P<rows>(?:\|.*\n)+)")
RUN = 3  # words in a row that a message and a text of the code must share
OF_OTHERS = {
    "MindSpore Lite: Build of ... failed": "MindSpore Lite",
    "libopenvino.so...: cannot open shared object file": "the loader of Linux",
}
"""Messages of other programs, and whose they are."""


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]{2,}", text.lower())  # not X, Y and other letters that stand for values


def texts_of(path: Path) -> list[str]:
    """The texts in a program; what is filled in is left out."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return ["\n".join(re.findall(r"""["']((?:[^"'\\\n]|\\.)*)["']""", text))]
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(part.value) if isinstance(part, ast.Constant) else " 0 " for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


@cache
def runs() -> set[tuple[str, ...]]:
    """Every run of at most RUN words in a text of the code."""
    paths = sorted(path for pattern in SOURCES for path in ROOT.glob(pattern) if "build" not in path.parts)
    texts = [words_of(text) for path in paths for text in texts_of(path)]
    return {found for words in texts for size in range(1, RUN + 1) for found in runs_of(words, size)}


def runs_of(words: list[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]


def quoted() -> list[tuple[str, str]]:
    """Page and message, one for each text in backticks in the first column of a table of messages."""
    found = []
    for page in pages():
        for table in TABLE.finditer(page.read_text(encoding="utf-8")):
            for row in table["rows"].splitlines():
                found += [(str(page.relative_to(ROOT)), text) for text in re.findall(r"`([^`]+)`", cells(row)[0])]
    return found


def is_in_code(message: str) -> bool:
    """Whether a text of the code has RUN words in a row of a message, or a whole piece of it between two values."""
    pieces = [words_of(piece) for piece in re.split(r"\.\.\.|\d+", message)]
    least = min(2, max(map(len, pieces)))
    return any(
        found in runs() for words in pieces if len(words) >= least for found in runs_of(words, min(RUN, len(words)))
    )


@pytest.mark.parametrize(("page", "message"), quoted())
def test_a_quoted_message_is_one_of_the_code(page, message):
    assert message in OF_OTHERS or is_in_code(message), f"{page}: no text of the code is like {message!r}"


def test_a_message_that_nobody_prints_is_not_found():
    assert quoted() and not is_in_code("a purple elephant ate your checkpoint") and not is_in_code("elephants 3")
    assert set(OF_OTHERS) <= {message for _, message in quoted()}
