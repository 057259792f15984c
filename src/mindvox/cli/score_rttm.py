"""Compute error rates of diarization: mindvox score-rttm REF HYP [--collar S] [--skip_overlap] [--uem FILE]
[--json].
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Optional

from mindvox.arguments import Parser
from mindvox.diarization.rttm import read_rttm, read_uem
from mindvox.diarization.scoring import Errors, Measure, score_all, total
from mindvox.errors import UsageError
from mindvox.files import user_path
from mindvox.terminal import table_lines

HEADER = ("recording", "DER %", "missed %", "false alarm %", "confusion %", "JER %", "speakers", "found", "speech s")
TOTAL = "total"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print DER with its parts, JER and numbers of speakers, for each recording and in total."""
    arguments = _parser().parse_args(argv)
    try:
        measure = Measure(arguments.collar, arguments.skip_overlap)
    except ValueError:
        raise UsageError(f"--collar: expected 0 to 60 s, got {arguments.collar:g}.") from None
    parts = read_uem(arguments.uem) if arguments.uem else None
    errors = score_all(read_rttm(arguments.reference), read_rttm(arguments.hypothesis), measure, parts)
    if arguments.json:
        values = {name: _values(found) for name, found in errors.items()}
        print(json.dumps({"measure": asdict(measure), "recordings": values, "total": _values(total(errors))}))
    else:
        print(table(errors, measure))
    return 0


def table(errors: Mapping[str, Errors], measure: Measure) -> str:
    """Return a table of the recordings and their total; a dash means that there is no speech to divide by."""
    summed = total(errors)
    rows = [HEADER, *(_row(name, found) for name, found in errors.items()), _row(TOTAL, summed)]
    right = f"{summed.num_right_counts} of {summed.num_recordings}"
    return "\n".join([*table_lines(rows, right=True), "", f"{measure}; number of speakers right in {right} recordings"])


def _row(name: str, errors: Errors) -> tuple[str, ...]:
    times = (errors.missed_s, errors.false_alarm_s, errors.confusion_s)
    shares = [second / errors.speech_s if errors.speech_s else None for second in times]
    rates = [_percent(rate) for rate in (errors.der, *shares, errors.jer)]
    return (name, *rates, str(errors.num_speakers), str(errors.num_found), f"{errors.speech_s:.1f}")


def _percent(rate: Optional[float]) -> str:
    return "-" if rate is None else f"{100 * rate:.2f}"


def _values(errors: Errors) -> dict[str, Optional[float]]:
    return {"der": errors.der, "jer": errors.jer, **asdict(errors)}


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="mindvox score-rttm", description=main.__doc__)
    parser.add_argument("reference", type=user_path, metavar="REF", help="reference: RTTM file or folder of such files")
    parser.add_argument("hypothesis", type=user_path, metavar="HYP", help="result to score: RTTM file or folder")
    parser.add_argument(
        "--collar",
        type=float,
        default=0.0,
        metavar="S",
        help="width on each side of a reference boundary that is not scored, s; pyannote.metrics counts both sides "
        "together (default: 0)",
    )
    parser.add_argument("--skip_overlap", action="store_true", help="do not score overlapped speech")
    parser.add_argument(
        "--uem",
        type=user_path,
        metavar="FILE",
        help="UEM file with the scored parts; default: from the first to the last turn of both",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
