"""Draw the picture of README.md, a terminal with `mindvox verify`: python -m mindvox.docs.terminal A B C.

A and B are recordings of one person, C of another; the picture calls them a.flac, b.flac and c.flac.
"""

import contextlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional
from xml.sax.saxutils import escape

from mindvox.arguments import Parser
from mindvox.cli.verify import main as verify
from mindvox.config import ROOT
from mindvox.errors import run
from mindvox.files import atomic_path, user_path

PICTURE = ROOT / "docs" / "images" / "verify.svg"
NAMES = ("a.flac", "b.flac", "c.flac")
WIDTH, LINE, TOP = 900, 20, 52  # pixels
STYLE = """text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#d0d7de;
white-space:pre}.prompt{fill:#7d8590}.command{fill:#fff}.same{fill:#3fb950;font-weight:600}
.different{fill:#f0883e;font-weight:600}"""
COLOURS = {"same person": "same", "different people": "different"}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write the picture of README.md."""
    parser = Parser(prog="python -m mindvox.docs.terminal", description=main.__doc__)
    parser.add_argument("recordings", nargs=3, type=user_path, metavar="FILE", help="two of one person, one of another")
    text = picture(lines_of(parser.parse_args(argv).recordings))
    with atomic_path(PICTURE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"{PICTURE.relative_to(ROOT)}: written")
    return 0


def lines_of(recordings: Sequence[Path]) -> list[str]:
    """Return the lines of a terminal in which the first recording is compared with the two others."""
    first, *others = zip(recordings, NAMES, strict=True)
    lines = []
    for second in others:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            verify([str(first[0]), str(second[0])])
        said = printed.getvalue()
        for path, name in (first, second):
            said = said.replace(str(path), name)
        lines += [f"$ mindvox verify {first[1]} {second[1]}", *said.splitlines()]
    return lines


def picture(lines: Sequence[str]) -> str:
    """Return a terminal with these lines as SVG."""
    height = TOP + LINE * len(lines) + 8
    found = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img" aria-label="mindvox verify in a terminal">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#161b22"/>',
    ]
    for x, colour in ((20, "#ff5f57"), (40, "#febc2e"), (60, "#28c840")):
        found.append(f'<circle cx="{x}" cy="18" r="6" fill="{colour}"/>')
    for index, line in enumerate(lines):
        found.append(f'<text x="18" y="{TOP + LINE * index}" xml:space="preserve">{_spans(line)}</text>')
    return "\n".join([*found, "</svg>", ""])


def _spans(line: str) -> str:
    if line.startswith("$ "):
        return f'<tspan class="prompt">$ </tspan><tspan class="command">{escape(line[2:])}</tspan>'
    for answer, colour in COLOURS.items():
        if line.startswith(answer):
            return f'<tspan class="{colour}">{escape(line)}</tspan>'
    return escape(line)


if __name__ == "__main__":
    sys.exit(run(main))
