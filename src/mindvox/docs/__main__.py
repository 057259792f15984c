"""Write or check the tables of docs/ that are generated: python -m mindvox.docs [--check] [MODEL ...]."""

import argparse
import sys
from collections.abc import Sequence
from typing import Optional

from mindvox.docs.networks import BEGIN, END, PAGE, lines_of_page, table
from mindvox.errors import run
from mindvox.files import atomic_path, read_text


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write the table of networks into docs/models.md; every network is built and run once."""
    parser = argparse.ArgumentParser(prog="python -m mindvox.docs", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when the page would change")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="count these alone; the lines of others stay")
    arguments = parser.parse_args(argv)
    check = arguments.check
    before, after = lines_of_page(), table(arguments.models)
    if before == after:
        print(f"{PAGE}: as it should be")
        return 0
    changed = [line for line in after if line not in before]
    if check:
        print(f"{PAGE}: not as it should be. Run python -m mindvox.docs. It would say:", *changed, sep="\n  ")
        return 1
    start, rest = read_text(PAGE).split(f"{BEGIN}\n")
    _, end = rest.split(f"{END}\n")
    with atomic_path(PAGE) as temporary:
        temporary.write_text("\n".join([f"{start}{BEGIN}", "", *after, "", f"{END}\n{end}"]), encoding="utf-8")
    print(f"{PAGE}: written", *changed, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
