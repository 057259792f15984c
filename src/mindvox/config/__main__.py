"""`python -m mindvox.config CLASS {--keys | ARGUMENT...}`, for shell scripts."""

import sys
from collections.abc import Sequence
from typing import Optional

import yaml

from mindvox.config.load import all_spellings, load_config, to_dict
from mindvox.config.sections import CONFIGS
from mindvox.errors import UsageError, run


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print the resolved configuration or, with --keys alone, every accepted spelling of its keys, one per line."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or [""]
    if name not in CONFIGS:
        raise UsageError(f"usage: python -m mindvox.config {{{','.join(CONFIGS)}}} {{--keys | ARGUMENT ...}}")
    if rest == ["--keys"]:
        print("\n".join(all_spellings(CONFIGS[name])))
    else:
        print(yaml.safe_dump(to_dict(load_config(CONFIGS[name], rest)), sort_keys=False, allow_unicode=True), end="")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
