"""The printed and written results of an evaluation: the lines of eval.log and acc.log, and results.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindvox.files import sha256_file, write_json
from mindvox.scoring.bootstrap import LEVEL
from mindvox.scoring.embeddings import EmbeddingStore
from mindvox.scoring.error_rates import Details, Result
from mindvox.scoring.trial_list import TrialList

FORMAT_VERSION = 1


def format_result(name: str, result: Result) -> str:
    """Return the line of eval.log and acc.log: `eer baseline:0.0123 mindcf(0.01):0.1234 mindcf(0.05):0.0987`."""
    costs = " ".join(f"mindcf({p_target:g}):{cost:.4f}" for p_target, cost in result.min_dcf.items())
    return f"eer {name}:{result.eer:.4f} {costs}"


def format_details(name: str, result: Result, details: Details, target_far: float) -> list[str]:
    """Return the lines of further numbers after the evaluation lines."""
    at_far = details.at_false_alarm_rate
    lines = [
        f"auc {name}:{details.roc_auc:.4f} mincllr:{details.min_cllr:.4f} threshold at EER:{result.threshold:.4f}, "
        f"at FAR {target_far:g}:{at_far.threshold:.4f} (misses {at_far.miss_rate:.4f})"
    ]
    if details.intervals:
        costs = details.intervals.min_dcf.items()
        ends = {"EER": details.intervals.eer} | {f"mindcf({p_target:g})": cost for p_target, cost in costs}
        spans = " ".join(f"{what}:{low:.4f}..{high:.4f}" for what, (low, high) in ends.items())
        draws = f"{details.intervals.num_speakers} speakers drawn {details.intervals.num_draws} times"
        lines += [f"{LEVEL:.0%} of {name}: {spans}", f"  {draws}"]
    return lines


def print_results(results: Mapping[str, Result], details: Mapping[str, Details], target_far: float) -> None:
    """Print the evaluation lines of all kinds of score, then their further numbers."""
    for name, result in results.items():
        print(format_result(name, result))
    for name, result in results.items():
        print(*format_details(name, result, details[name], target_far), sep="\n")


def write_results(
    path: Path,
    trials: TrialList,
    evaluation: EmbeddingStore,
    cohort: Optional[EmbeddingStore],
    options: Mapping[str, Any],
    results: Mapping[str, Result],
    details: Mapping[str, Details],
) -> None:
    """Write results.json: trial list, scoring options, identities of the embeddings, and error rates."""
    summary = {
        "format_version": FORMAT_VERSION,
        "trials": {
            "file": trials.path.name,
            "sha256": sha256_file(trials.path),
            "num_trials": len(trials.trials),
            "num_targets": None if trials.is_target is None else int(np.count_nonzero(trials.is_target)),
            "num_repeated": trials.num_repeated,
            "excluded": trials.excluded and trials.excluded._asdict(),
        },
        "options": dict(options),
        "evaluation": evaluation.identity.to_dict(),
        "cohort": cohort.identity.to_dict() if cohort is not None else None,
        "results": {
            name.replace(" ", "_"): {
                "eer": result.eer,
                "threshold": result.threshold,
                "min_dcf": {f"{p_target:g}": cost for p_target, cost in result.min_dcf.items()},
                **_details_json(details[name]),
            }
            for name, result in results.items()
        },
    }
    write_json(path, summary)


def _details_json(details: Details) -> dict[str, Any]:
    numbers = details._asdict() | {"at_false_alarm_rate": details.at_false_alarm_rate._asdict()}
    intervals = numbers.pop("intervals")
    if intervals:
        costs = {f"{p_target:g}": ends for p_target, ends in intervals.min_dcf.items()}
        numbers["intervals"] = {"level": LEVEL, **intervals._asdict(), "min_dcf": costs}
    return numbers
