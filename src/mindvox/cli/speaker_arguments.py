"""Arguments of the commands that enrol and identify speakers."""

import argparse
import re
import time
from datetime import UTC, datetime

from mindvox.cli.model_arguments import add_record_argument, check_readable, open_embedder
from mindvox.cli.quality_arguments import limits_of
from mindvox.decisions import Source
from mindvox.errors import UsageError
from mindvox.files import user_path, user_text
from mindvox.speakers.listening import Listener
from mindvox.speakers.store import NEVER, VARIABLE, ModelIdentity, SpeakerStore, open_store
from mindvox.speech.detector import SpeechDetector

DAY_S = 86400.0


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recordings: files and --record."""
    parser.add_argument(
        "files", type=user_path, nargs="*", default=[], metavar="FILE", help="recording in any audio format"
    )
    add_record_argument(parser, "record from the microphone")


def sources_of(arguments: argparse.Namespace) -> list[Source]:
    """Return the recordings of the arguments; raise UsageError or InputError."""
    for path in arguments.files:
        check_readable(path)
    sources: list[Source] = [*arguments.files]
    if arguments.record is not None:
        sources.append(arguments.record)
    if not sources:
        raise UsageError("expected a recording: FILE or --record SECONDS.")
    return sources


def add_store_argument(parser: argparse.ArgumentParser) -> None:
    """Add --store."""
    parser.add_argument(
        "--store",
        type=user_text,
        help=f"file of the speakers, or postgresql://...; default: ${VARIABLE}, else a file in your data folder",
    )


def open_listener(arguments: argparse.Namespace) -> Listener:
    """Open the model, the speech detector and the limits of the arguments."""
    limits = limits_of(arguments)
    return Listener(open_embedder(arguments), SpeechDetector.open(), limits)


def open_store_for(arguments: argparse.Namespace, listener: Listener) -> SpeakerStore:
    """Open the store of the arguments, for a model."""
    return open_store(arguments.store, ModelIdentity.of(listener.embedder))


def moment(text: str) -> float:
    """Return when a speaker expires, seconds since 1970: `never`, `90d` from now, or a date. A `type` for argparse."""
    if text == "never":
        return NEVER
    days = re.fullmatch(r"(\d+)d", text)
    if days:
        return time.time() + DAY_S * int(days[1])
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        expected = "expected never, days such as 90d, or a date such as 2027-01-31"
        raise argparse.ArgumentTypeError(f"{expected}, got {text!r}") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
