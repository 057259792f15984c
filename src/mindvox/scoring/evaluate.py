"""Evaluate a trial list: score it, compute error rates, print and write both."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Optional

import numpy as np

from mindvox.config import Config
from mindvox.files import PathLike
from mindvox.scoring.bootstrap import Intervals, speaker_intervals
from mindvox.scoring.embeddings import EmbeddingStore
from mindvox.scoring.error_rates import Details, Result, measure, measure_details, warn_if_swapped
from mindvox.scoring.measures import P_TARGETS
from mindvox.scoring.options import ScoreOptions
from mindvox.scoring.peer_lines import peer_lines
from mindvox.scoring.results import print_results, write_results
from mindvox.scoring.trial_list import TrialList
from mindvox.scoring.trial_scores import check_disjoint, check_same_model, score_trials


def evaluate(
    trials: TrialList,
    evaluation: EmbeddingStore,
    cohort: Optional[EmbeddingStore],
    config: Config,
    folder: PathLike,
    why_none: str,
    started: Optional[float] = None,
) -> dict[str, Result]:
    """Score a trial list, print the evaluation's lines, and write scores.tsv and results.json.

    For a blind list, scores are written without error rates.

    Args:
        trials: trial list read for `evaluation`.
        evaluation, cohort: embeddings of one model.
        config: uses the keys of ScoreOptions, target_far, bootstrap, bootstrap_seed and print_like.
        folder: folder for the files.
        why_none: why there is no cohort, if there is none.
        started: time.monotonic() at the start of the evaluation, for the time that some toolkits print; None: now.

    Returns:
        Error rates of each kind of score; empty for a blind list.
    """
    started = time.monotonic() if started is None else started
    if cohort is not None:
        check_disjoint(evaluation, cohort)
        check_same_model(evaluation, cohort)
    options = ScoreOptions.from_config(config)
    scores = score_trials(trials, evaluation, cohort, options)
    settings = asdict(options) | {name: getattr(config, name) for name in ("target_far", "bootstrap", "bootstrap_seed")}
    print(*trials.describe(), sep="\n")
    if cohort is not None and options.score_norm in scores:
        size = len(set(cohort.spk_ids if options.cohort_over == "speaker" else cohort.utt_ids))
        settings["cohort_size_used"] = min(options.cohort_size, size)
        print(f"{options.score_norm}: best {settings['cohort_size_used']} of {size} cohort scores are used")
    results: dict[str, Result] = {}
    details: dict[str, Details] = {}
    if trials.is_target is None:
        print(f"{', '.join(scores)}: scores only; error rates need a list with labels")
    else:
        intervals = _intervals(trials, trials.is_target, evaluation, scores, config)
        for name, values in scores.items():
            results[name] = measure(values, trials.is_target)
            details[name] = measure_details(values, trials.is_target, config.target_far, intervals.get(name))
        print_results(results, details, config.target_far)
        if config.print_like != "none":
            elapsed_s = time.monotonic() - started
            print(*peer_lines(config.print_like, scores, options.score_norm, trials.is_target, elapsed_s), sep="\n")
        warn_if_swapped(results["baseline"].eer, trials.is_target, config.trial_format)
    missing = [name for name in ("sub mean", options.score_norm) if name != "none" and name not in scores]
    if missing:
        print(f"no {' and no '.join(missing)}: {why_none}")
    columns = {name.replace(" ", "_"): values for name, values in scores.items()}
    trials.write_scores(Path(folder) / "scores.tsv", columns)
    write_results(Path(folder) / "results.json", trials, evaluation, cohort, settings, results, details)
    return results


def _intervals(
    trials: TrialList,
    is_target: np.ndarray,
    evaluation: EmbeddingStore,
    scores: dict[str, np.ndarray],
    config: Config,
) -> dict[str, Intervals]:
    """Return intervals of the error rates of each kind of score; empty if `bootstrap` is 0."""
    if not config.bootstrap:
        return {}
    speakers = trials.speakers(evaluation)
    draws = (config.bootstrap, config.bootstrap_seed)
    return {name: speaker_intervals(values, is_target, *speakers, P_TARGETS, *draws) for name, values in scores.items()}
