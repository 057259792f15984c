"""Arguments that choose an exported model and how recordings are read."""

import argparse
import os
from pathlib import Path

from mindvox.embedder import DEFAULT_MODEL, Embedder
from mindvox.engines.engine import AUTO, ENGINES
from mindvox.errors import InputError
from mindvox.files import user_text
from mindvox.speech.microphone import microphone


def add_model_arguments(parser: argparse.ArgumentParser, with_channel: bool = True) -> None:
    """Add --model, --engine and, for commands that read recordings, --channel."""
    parser.add_argument(
        "--model",
        type=user_text,
        default=DEFAULT_MODEL,
        help=f"public model, exported model, or folder with one (default: {DEFAULT_MODEL})",
    )
    parser.add_argument("--engine", default=AUTO, choices=ENGINES, help="library that runs the model (default: auto)")
    if with_channel:
        _add_channel_argument(parser)


def _add_channel_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--channel", type=int, metavar="N", help="index of the only channel to use, from 0; default: the mean of all"
    )


def add_record_argument(parser: argparse.ArgumentParser, text: str) -> None:
    """Add --record, with a help text."""
    parser.add_argument("--record", type=microphone, metavar="SECONDS", help=text)


def open_embedder(arguments: argparse.Namespace) -> Embedder:
    """Open the model of the arguments."""
    return Embedder.open(arguments.model, arguments.engine)


def check_readable(path: Path) -> None:
    """Raise InputError for a mistake in the command, as opposed to a finding about a recording."""
    if not path.is_file():
        raise InputError(f"{path}: {'a folder, expected a recording' if path.is_dir() else 'no such file'}.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: permission denied.")
