"""Print a table of several systems' results: `mindvox summary NAME=results.json [NAME=results.json ...]`."""

import sys
from collections.abc import Sequence
from typing import Optional

from mindvox.arguments import Parser
from mindvox.errors import InputError, UsageError, run
from mindvox.files import named_path, read_json

ORDER = ("baseline", "sub_mean")  # followed by the norm


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print EER and minDCF of every kind of score, one column a system."""
    parser = Parser(prog="mindvox summary", description=main.__doc__)
    parser.add_argument("results", nargs="+", type=named_path, metavar="NAME=results.json", help="results of eval.py")
    named = parser.parse_args(argv).results
    if len({name for name, _ in named} - {""}) < len(named):
        raise UsageError("expected NAME=results.json, each with a different name.")
    systems = {name: _results(path) for name, path in named}
    print(f"{'':<26}" + "".join(f"{name:>12}" for name in systems))
    for row in dict.fromkeys(row for results in systems.values() for row in results):
        print(f"{row:<26}" + "".join(f"{results.get(row, '-'):>12}" for results in systems.values()))
    return 0


def _results(path: str) -> dict[str, str]:
    """Return the printed numbers of a results.json by the names of their rows."""
    try:
        rows = {}
        results = read_json(path)["results"]
        for kind, result in sorted(results.items(), key=lambda item: (*ORDER, item[0]).index(item[0])):
            kind = kind.replace("_", " ")
            rows[f"{kind} EER"] = f"{result['eer']:.4f}"
            rows |= {f"{kind} minDCF({p_target})": f"{cost:.4f}" for p_target, cost in result["min_dcf"].items()}
        return rows
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: expected results of eval.py ({error}).") from None


if __name__ == "__main__":
    sys.exit(run(main))
