"""Hooks of MkDocs (mkdocs.yml): pages outside of docs/, and links to them and to other files.

The site has README.md, CONTRIBUTING.md and others as `project/NAME.md`. A link to a file outside of the site
becomes its path in the project.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[3]
OUTSIDE = {
    "README.md": "project/readme.md",
    "README_CN.md": "project/readme_cn.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
    "benchmarks/README.md": "project/benchmarks.md",
}
"""Place on the site by path in the project."""
LINK = re.compile(r"(?P<text>!?\[(?:[^\]\[]|\[[^\]]*\])*\])\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages outside of docs/."""
    for source, place in OUTSIDE.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Turn links that leave docs/, or come from outside, into links of the site."""
    here = page.file.src_uri
    source = next((path for path, place in OUTSIDE.items() if place == here), f"docs/{here}")
    pieces = re.split(r"(?ms)(^ *```.*?^ *```$|`[^`\n]*`)", markdown)  # odd entries are code, which has no links
    return "".join(
        piece if index % 2 else LINK.sub(lambda match: _link(match, source, here), piece)
        for index, piece in enumerate(pieces)
    )


def _link(match: re.Match, source: str, here: str) -> str:
    target = (ROOT / source).parent.joinpath(match["target"]).resolve()
    if not target.is_relative_to(ROOT):
        return match[0]
    path = target.relative_to(ROOT).as_posix()
    place = OUTSIDE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
    if place is None or not (place in OUTSIDE.values() or target.is_file()):
        return f"`{path}`"
    up = "../" * here.count("/")
    return f"{match['text']}({up}{place}{match['anchor'] or ''})"
