"""The arguments that choose an exported model and how recordings are read, for commands that embed recordings."""

import argparse
import os
from pathlib import Path

from mindvox.embedder import DEFAULT_MODEL, Embedder
from mindvox.engines.engine import AUTO, ENGINES
from mindvox.errors import InputError
from mindvox.files import user_text


def add_model_arguments(parser: argparse.ArgumentParser, with_channel: bool = True) -> None:
    """Add --model, --engine and, where recordings are of the caller's own, --channel."""
    parser.add_argument(
        "--model",
        type=user_text,
        default=DEFAULT_MODEL,
        help=f"public model, exported model, or folder that holds one (default: {DEFAULT_MODEL})",
    )
    parser.add_argument("--engine", default=AUTO, choices=ENGINES, help="what runs the model (default: auto)")
    if with_channel:
        _add_channel_argument(parser)


def _add_channel_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--channel", type=int, metavar="N", help="the only channel that is used, from 0 on; default: the mean of all"
    )


def open_embedder(arguments: argparse.Namespace) -> Embedder:
    """Open the model that the arguments choose."""
    return Embedder.open(arguments.model, arguments.engine)


def check_readable(path: Path) -> None:
    """Raise InputError for what is a mistake in the command, and not a finding about a recording."""
    if not path.is_file():
        raise InputError(f"{path}: {'a folder, expected a recording' if path.is_dir() else 'no such file'}.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: permission denied.")
