"""Links between pages: every file and every heading that a link names exists; every page can be reached."""

import re
from functools import cache
from pathlib import Path

import pytest

from mindvox.config import ROOT
from mindvox.docs.blocks import pages

LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\((?P<target>[^)\s]+)\)")
FENCE = re.compile(r"(?m)^ *```.*?^ *```$", re.DOTALL)
PAGES = {str(page.relative_to(ROOT)): page for page in pages()}


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "``", FENCE.sub("", text))


@cache
def anchors(page: Path) -> set[str]:
    """What a browser finds on a page: GitHub's names of its headings."""
    names: dict[str, int] = {}
    found = set()
    for title in re.findall(r"(?m)^#+ (.+?)\s*$", FENCE.sub("", page.read_text(encoding="utf-8"))):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found.add(name if name not in names else f"{name}-{names[name]}")
        names[name] = names.get(name, 0) + 1
    return found


def problems(page: Path) -> list[str]:
    """What is wrong with the links of a page."""
    found = []
    for match in LINK.finditer(without_code(page.read_text(encoding="utf-8"))):
        target, _, anchor = match["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists():
            found.append(f"no file {match['target']}")
        elif anchor and (path.suffix != ".md" or anchor not in anchors(path)):
            found.append(f"no heading {match['target']}")
    return found


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    assert problems(PAGES[page]) == []


def test_a_wrong_link_is_found(tmp_path):
    (tmp_path / "b.md").write_text("# A `b`: c\n\n# Two\n\n# Two\n")
    (tmp_path / "a.md").write_text(
        "[1](b.md#a-b-c) [2](b.md#two-1) [3](b.md#three) [4](c.md) [x [y]](d.png) `[5](e.md)`\n\n```\n[6](f.md)\n```\n"
        "[7](https://example.org/no) [8](#here)\n# Here\n"
    )
    assert problems(tmp_path / "a.md") == ["no heading b.md#three", "no file c.md", "no file d.png"]


def test_every_page_of_docs_is_reached_from_the_index():
    text = "\n".join((ROOT / "docs" / name).read_text() for name in ("index.md", "tutorials/index.md"))
    for page in PAGES:
        if page.startswith("docs/") and not page.endswith("index.md"):
            assert f"({page.removeprefix('docs/').removeprefix('tutorials/')}" in text, f"docs/index.md lacks {page}"
