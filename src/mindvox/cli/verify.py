"""Are two recordings of the same person? mindvox verify A B [--model MODEL] [--threshold X] [--json]."""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Optional

from mindvox.arguments import Parser
from mindvox.cli.model_arguments import add_model_arguments, open_embedder
from mindvox.decisions import CANNOT_TELL, DIFFERENT, SAME, Decision, Thresholds, verify
from mindvox.errors import InputError, UsageError
from mindvox.files import user_path

EXIT_CODES = {SAME: 0, DIFFERENT: 3, CANNOT_TELL: 4}
WORDS = {SAME: "same person", DIFFERENT: "different people", CANNOT_TELL: "cannot tell"}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Say whether two recordings are of the same person."""
    arguments = _parser().parse_args(argv)
    thresholds = _thresholds(arguments.threshold)
    recordings = (arguments.first, arguments.second)
    for path in recordings:
        _check_readable(path)
    embedder = open_embedder(arguments)
    decision = verify(embedder, *recordings, thresholds, channel=arguments.channel)
    if arguments.json:
        exported = embedder.engine.exported
        facts = {"model": str(arguments.model), "model_sha256": exported.file_sha256, "engine": embedder.engine.name}
        names = [str(path) for path in recordings]
        print(json.dumps({**asdict(decision), "recordings": names, **facts}, ensure_ascii=False))
    else:
        print("\n".join(_lines(decision)))
    return EXIT_CODES[decision.answer]


def _lines(decision: Decision) -> list[str]:
    """Return the answer in words."""
    score = "" if decision.score is None else f", score {decision.score:.4f}"
    reason = f": {decision.reason}" if decision.reason else ""
    thresholds = decision.thresholds
    limits = f"same person from {thresholds.same:g}, different people below {thresholds.different:g}"
    lines = [f"{WORDS[decision.answer]}{score}{reason}"]
    if decision.score is not None:
        lines.append(f"thresholds of {thresholds.source}: {limits}")
    if decision.answer == CANNOT_TELL and decision.score is not None and thresholds.why:
        lines.append(f"why: {thresholds.why}")
    return lines


def _thresholds(given: Optional[float]) -> Optional[Thresholds]:
    if given is None:
        return None
    try:
        return Thresholds(given, given, "--threshold")
    except ValueError:
        raise UsageError(f"--threshold: expected a cosine from -1 to 1, got {given:g}.") from None


def _check_readable(path: Path) -> None:
    """Raise InputError for what is a mistake in the command, and not a finding about a recording."""
    if not path.is_file():
        raise InputError(f"{path}: {'a folder, expected a recording' if path.is_dir() else 'no such file'}.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: permission denied.")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="mindvox verify",
        description="Say whether two recordings are of the same person.",
        epilog="Exit codes: 0 same person, 3 different people, 4 cannot tell, 1 failed, 2 wrong usage.",
        allow_abbrev=False,
    )
    parser.add_argument("first", type=user_path, metavar="A", help="recording in any audio format")
    parser.add_argument("second", type=user_path, metavar="B", help="another one")
    add_model_arguments(parser)
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help="same person from this cosine, else different; default: the model's",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
