"""The arguments that choose an exported model and how recordings are read, for commands that embed recordings."""

import argparse

from mindvox.embedder import DEFAULT_MODEL, Embedder
from mindvox.engines.engine import AUTO, ENGINES
from mindvox.files import user_text


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --model, --engine and --channel."""
    parser.add_argument(
        "--model",
        type=user_text,
        default=DEFAULT_MODEL,
        help=f"public model, exported model, or folder that holds one (default: {DEFAULT_MODEL})",
    )
    parser.add_argument("--engine", default=AUTO, choices=ENGINES, help="what runs the model (default: auto)")
    parser.add_argument(
        "--channel", type=int, metavar="N", help="the only channel that is used, from 0 on; default: the mean of all"
    )


def open_embedder(arguments: argparse.Namespace) -> Embedder:
    """Open the model that the arguments choose."""
    return Embedder.open(arguments.model, arguments.engine)
