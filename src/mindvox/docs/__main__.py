"""Write or check generated blocks: python -m mindvox.docs {--check | --write} [--networks [MODEL ...]]."""

import argparse
import sys
from collections.abc import Sequence
from typing import Optional

from mindvox.arguments import Parser
from mindvox.config import ROOT
from mindvox.docs.blocks import RENDERERS, blocks, comments, pages, write
from mindvox.docs.networks import table
from mindvox.errors import run


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write or check the generated blocks of the pages in docs/, and the comments of the shipped YAML files."""
    arguments = _parser().parse_args(argv)
    renderers = dict(RENDERERS)
    if arguments.networks is not None:
        renderers["networks"] = lambda words, before: table(arguments.networks)
    found = {page: list(blocks(page, renderers)) for page in pages()}
    found |= {block.page: [block] for block in comments()}
    stale = {page: [block for block in of_page if not block.is_current] for page, of_page in found.items()}
    stale = {page: of_page for page, of_page in stale.items() if of_page}
    for page, of_page in stale.items():
        for block in of_page:
            print(f"{page.relative_to(ROOT)}: {'written' if arguments.write else 'out of date'}: {block.name}")
            print(*(f"  {line}" for line in block.changes()), sep="\n")
        if arguments.write:
            write(page, found[page])
    if not stale:
        print("all generated blocks are as they should be")
    elif not arguments.write:
        print("run: python -m mindvox.docs --write")
    return int(bool(stale) and not arguments.write)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m mindvox.docs", description=main.__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a block is out of date")
    what.add_argument("--write", action="store_true", help="write the blocks that are out of date")
    parser.add_argument(
        "--networks",
        nargs="*",
        metavar="MODEL",
        help="include the table of networks, which takes minutes to build and run; MODEL: only these",
    )
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
