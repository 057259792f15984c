"""Decide whether two recordings are of the same person: mindvox verify A B, or mindvox verify A --record SECONDS."""

import argparse
import json
from collections.abc import Sequence
from typing import Any, Optional

from mindvox.arguments import Parser
from mindvox.cli.model_arguments import add_model_arguments, add_record_argument, check_readable, open_embedder
from mindvox.cli.quality_arguments import add_limit_arguments, limits_of, quality_line
from mindvox.decisions import Decision, decision_facts, rule_of, verify
from mindvox.embedder import Embedder
from mindvox.errors import UsageError
from mindvox.files import user_path
from mindvox.pair_calibration import PairCalibration
from mindvox.rules import ACCEPT, INCONCLUSIVE, LLR, REJECT, Rule, Thresholds
from mindvox.speech.detector import SpeechDetector

EXIT_CODES = {ACCEPT: 0, REJECT: 3, INCONCLUSIVE: 4}
WORDS = {ACCEPT: "same person", REJECT: "different people", INCONCLUSIVE: "cannot tell"}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Decide whether two recordings are of the same person."""
    arguments = _parser().parse_args(argv)
    _check(arguments)
    thresholds = _thresholds(arguments.threshold)
    limits = limits_of(arguments)
    for path in filter(None, (arguments.first, arguments.second)):
        check_readable(path)
    embedder = open_embedder(arguments)
    detector = None if arguments.no_quality else SpeechDetector.open()
    rule = _rule(arguments, thresholds, embedder)
    second = arguments.second or arguments.record
    decision = verify(embedder, arguments.first, second, rule, detector, limits, channel=arguments.channel)
    if arguments.json:
        print(json.dumps(_as_json(decision, arguments, embedder), ensure_ascii=False))
    else:
        print("\n".join(_lines(decision)))
    return EXIT_CODES[decision.answer]


def _lines(decision: Decision) -> list[str]:
    """Return lines about the answer."""
    score = "" if decision.score is None else f", score {decision.score:.4f}"
    llr = "" if decision.llr is None else f", {LLR} {decision.llr:.2f}"
    reason = f": {decision.reason}" if decision.reason else ""
    lines = [f"{WORDS[decision.answer]}{score}{llr}{reason}"]
    thresholds = decision.thresholds
    if decision.score is not None:
        least = "" if thresholds.least_cosine is None else f" and score {thresholds.least_cosine:g}"
        what = f"{LLR} " if thresholds.of == LLR else ""
        same, different = f"{what}{thresholds.accept:.3g}{least}", f"{what}{thresholds.reject:.3g}"
        if thresholds.of == LLR:
            lines += [
                f"thresholds of {thresholds.source}:",
                f"  same person from {same}",
                f"  different people below {different}",
            ]
        else:
            lines.append(
                f"thresholds of {thresholds.source}: same person from {same}, different people below {different}"
            )
    lines += [quality_line(side.name, side.quality) for side in decision.recordings if side.quality is not None]
    lies_between = decision.score is not None and (thresholds.of != LLR or decision.llr is not None)
    if decision.answer == INCONCLUSIVE and lies_between and thresholds.why:
        lines.append(f"why: {thresholds.why}")
    return lines


def _as_json(decision: Decision, arguments: argparse.Namespace, embedder: Embedder) -> dict[str, Any]:
    """Return everything about a decision, for JSON."""
    return {
        **decision_facts(decision),
        "model": str(arguments.model),
        "model_sha256": embedder.engine.exported.file_sha256,
        "engine": embedder.engine.name,
    }


def _check(arguments: argparse.Namespace) -> None:
    """Raise UsageError for arguments that exclude each other."""
    if (arguments.second is None) == (arguments.record is None):
        raise UsageError("expected two recordings, or one and --record SECONDS for the other.")
    of_calibration = [arguments.calibration, arguments.false_accepts, arguments.false_rejects]
    if arguments.threshold is not None and any(value is not None for value in of_calibration):
        raise UsageError(
            "--threshold: a cosine cannot be combined with --calibration, --false_accepts, --false_rejects."
        )
    if arguments.no_quality and any(value is not None for value in of_calibration):
        raise UsageError("--no_quality: a calibration needs the recordings' quality.")


def _rule(arguments: argparse.Namespace, thresholds: Optional[Thresholds], embedder: Embedder) -> Rule:
    """Return the user's rule, or the model's own."""
    if thresholds is not None:
        return thresholds
    if arguments.calibration is not None:
        rule: Rule = PairCalibration.open(arguments.calibration, embedder)
    else:
        rule = rule_of(embedder, has_quality=not arguments.no_quality)
    if arguments.false_accepts is None and arguments.false_rejects is None:
        return rule
    if not isinstance(rule, PairCalibration):
        raise UsageError(
            f"{arguments.model}: has no calibration, which --false_accepts and --false_rejects need: --calibration FILE"
        )
    try:
        return rule.with_rates(arguments.false_accepts, arguments.false_rejects)
    except ValueError as error:
        raise UsageError(f"--false_accepts, --false_rejects: {error}") from None


def _thresholds(given: Optional[float]) -> Optional[Thresholds]:
    if given is None:
        return None
    try:
        return Thresholds(given, given, "--threshold")
    except ValueError:
        raise UsageError(f"--threshold: expected a cosine from -1 to 1, got {given:g}.") from None


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="mindvox verify",
        description="Decide whether two recordings are of the same person.",
        epilog="Exit codes: 0 same person, 3 different people, 4 cannot tell, 1 failed, 2 wrong usage.",
    )
    parser.add_argument("first", type=user_path, metavar="A", help="recording in any audio format")
    parser.add_argument("second", type=user_path, nargs="?", metavar="B", help="another one")
    add_record_argument(parser, "record B from the microphone")
    add_model_arguments(parser)
    parser.add_argument(
        "--calibration",
        type=user_path,
        metavar="FILE",
        help="file of `mindvox calibrate pairs`; default: the calibration that comes with a public model",
    )
    parser.add_argument(
        "--false_accepts",
        type=float,
        metavar="RATE",
        help="greatest share of accepted pairs of different people: accept from the ratio ln(1 / RATE); default: the "
        "calibration's",
    )
    parser.add_argument(
        "--false_rejects",
        type=float,
        metavar="RATE",
        help="greatest share of rejected pairs of one person: reject below the ratio -ln(1 / RATE); default: the "
        "calibration's",
    )
    parser.add_argument(
        "--threshold", type=float, metavar="X", help="least cosine of the same person; replaces the calibration"
    )
    add_limit_arguments(parser)
    parser.add_argument(
        "--no_quality",
        action="store_true",
        help="compare recordings of any quality, even silence and noise; needs a rule without calibration",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
