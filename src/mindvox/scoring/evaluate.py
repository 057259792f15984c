"""Evaluation of a trial list: scores of every kind, error rates, the printed lines and the files that keep them."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from mindvox.config import Config
from mindvox.data.eval_store import EvalStore
from mindvox.errors import InputError, UsageError
from mindvox.files import PathLike, sha256_file, write_json
from mindvox.scoring import metrics
from mindvox.scoring.bootstrap import LEVEL, Intervals, speaker_intervals
from mindvox.scoring.embeddings import EmbeddingStore
from mindvox.scoring.normalisation import (
    cohort_statistics,
    cosine_scores,
    crop_distance_scores,
    mean_embedding,
    normalise,
    speaker_means,
    unit_length,
)
from mindvox.scoring.trial_list import TrialList, some

FORMAT_VERSION = 1
P_TARGETS = (0.01, 0.05)


@dataclass(frozen=True)
class ScoreOptions:
    """How trials are scored; names, values and meanings are those of the configuration's keys.

    Attributes:
        sub_mean: whose mean is subtracted: "cohort", or "test" for that of the trials' own utterances.
        score_norm: "s-norm", "z-norm", "t-norm" or "none".
        cohort_size, norm_std: see cohort_statistics.
        cohort_over: what a cohort score is of: "utterance", or "speaker" for the mean embedding of each.
        crop_score: of utterances with several crops: "distance" or "cosine", the mean over all pairs.
    """

    sub_mean: str = "cohort"
    score_norm: str = "s-norm"
    cohort_size: int = 20000
    norm_std: str = "population"
    cohort_over: str = "utterance"
    crop_score: str = "distance"

    @classmethod
    def from_config(cls, config: Config) -> "ScoreOptions":
        """Take the keys of these names."""
        return cls(**{name: getattr(config, name) for name in cls.__dataclass_fields__})


class Result(NamedTuple):
    """Error rates of one kind of score: EER as a fraction, its threshold, normalised minDCF for each p_target."""

    eer: float
    threshold: float
    min_dcf: dict[float, float]


class Details(NamedTuple):
    """Further numbers of one kind of score, which need no calibration; see metrics.

    Attributes:
        at_false_alarm_rate: the threshold for the false-alarm rate that the key `target_far` asks for.
        intervals: of EER and minDCF, when speakers were bootstrapped.
    """

    roc_auc: float
    min_cllr: float
    eer_voxceleb_trainer: float
    eer_speechbrain: float
    at_false_alarm_rate: metrics.Threshold
    intervals: Optional[Intervals]


def measure(scores: np.ndarray, is_target: np.ndarray) -> Result:
    """Compute the error rates that are printed first."""
    points = metrics.operating_points(scores, is_target)
    costs = {p_target: metrics.min_dcf_of(points, p_target) for p_target in P_TARGETS}
    return Result(*metrics.eer_of(points), costs)


def measure_details(
    scores: np.ndarray, is_target: np.ndarray, target_far: float, intervals: Optional[Intervals] = None
) -> Details:
    """Compute the further numbers."""
    points = metrics.operating_points(scores, is_target)
    return Details(
        roc_auc=metrics.roc_auc_of(points),
        min_cllr=metrics.min_cllr_of(points),
        eer_voxceleb_trainer=metrics.eer_voxceleb_trainer(points),
        eer_speechbrain=metrics.eer_speechbrain(points),
        at_false_alarm_rate=metrics.threshold_at_false_alarm_rate(scores, is_target, target_far),
        intervals=intervals,
    )


def looks_swapped(eer: float, is_target: np.ndarray) -> bool:
    """Tell whether targets score below non-targets, beyond chance: an EER well above a half.

    At chance, the EER of n trials of the rarer kind has a standard deviation of at most 0.5 / sqrt(n).
    """
    num_rarer = min(np.count_nonzero(is_target), np.count_nonzero(~is_target))
    return eer > 0.5 + max(0.05, 3 * 0.5 / np.sqrt(num_rarer))


def warn_if_swapped(eer: float, is_target: np.ndarray, trial_format: str) -> bool:
    """Print a warning when labels or columns of a trial list seem to be swapped; return whether it was printed."""
    is_swapped = looks_swapped(eer, is_target)
    if is_swapped:
        print(
            f"warning: an EER of {eer:.1%}: target trials score lower than non-targets. Are the list's labels swapped\n"
            f"  (a target is one speaker's), or is it of another form than trial_format: {trial_format}?",
            file=sys.stderr,
        )
    return is_swapped


def format_result(name: str, result: Result) -> str:
    """Return the line of eval.log and acc.log: `eer baseline:0.0123 mindcf(0.01):0.1234 mindcf(0.05):0.0987`."""
    costs = " ".join(f"mindcf({p_target:g}):{cost:.4f}" for p_target, cost in result.min_dcf.items())
    return f"eer {name}:{result.eer:.4f} {costs}"


def format_details(name: str, result: Result, details: Details, target_far: float) -> list[str]:
    """Return the lines of further numbers that follow the evaluation lines."""
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
        lines.append(f"{LEVEL:.0%} of {name}: {spans} ({draws})")
    return lines


def why_no_cohort(config: Config) -> str:
    """Say why there is no cohort, and what to do; empty when train_norm_path is a folder and its cohort is needed."""
    if config.score_norm == "none" and config.sub_mean == "test":
        return "nothing needs one."
    if config.train_norm_path and Path(config.train_norm_path).is_dir():
        return ""
    reason = f"{config.train_norm_path} does not exist" if config.train_norm_path else "is not set"
    return f"train_norm_path {reason}; eval_data_prepare.py writes a cohort to feat_norm_folder."


def check_disjoint(store: EvalStore | EmbeddingStore, cohort: EvalStore | EmbeddingStore) -> None:
    """Refuse a cohort that shares speakers or utterances with the evaluation store: its scores would hold targets."""
    pairs = {"speakers": (store.spk_ids, cohort.spk_ids), "utterances": (store.utt_ids, cohort.utt_ids)}
    for what, (names, cohort_names) in pairs.items():
        shared = set(names) & set(cohort_names)
        if shared:
            raise InputError(
                f"{len(shared)} of the cohort's {what} are also in the evaluation store, such as {some(shared)}. "
                "Prepare a cohort of other speakers."
            )


def check_score_options(options: ScoreOptions, num_crops: int) -> None:
    """Raise UsageError for a score that is not defined."""
    if num_crops and options.crop_score == "distance" and options.score_norm != "none":
        raise UsageError(
            f"score_norm: {options.score_norm} is defined for cosines, not for crop_score: distance. "
            "Pass --score_norm=none, or --crop_score=cosine."
        )


def score_trials(
    trials: TrialList, evaluation: EmbeddingStore, cohort: Optional[EmbeddingStore], options: ScoreOptions
) -> dict[str, np.ndarray]:
    """Score every trial: "baseline" (cosine), "sub mean" (cosine after mean subtraction), and the chosen norm of that.

    With several crops of each utterance a score is the mean over all pairs of crops: of their cosines, or of their
    negated distances.

    Args:
        trials: trial list read for `evaluation`.
        evaluation, cohort: embeddings. Without a cohort the kinds that need one are left out.
        options: how to score.

    Returns:
        Scores by kind, float32 (number of trials,).

    Raises:
        UsageError: options and embeddings do not fit together.
        InputError: an embedding has no direction, or the cohort is too small or without spread.
    """
    num_crops = evaluation.identity.num_crops
    check_score_options(options, num_crops)
    if num_crops and trials.model_names:
        raise UsageError("enrol_map_path: models of several utterances are not defined for eval_crops: set it to 0.")
    sides = trials.sides(evaluation)

    def score(units: np.ndarray) -> np.ndarray:
        if num_crops and options.crop_score == "distance":
            return crop_distance_scores(units, sides.enrol, sides.test)
        return cosine_scores(_over_crops(units), sides.enrol, sides.test)

    scores = {"baseline": score(_units(sides.embeddings, sides.names))}
    if cohort is not None or options.sub_mean == "test":
        of_mean = evaluation.embeddings[trials.rows()] if options.sub_mean == "test" else cohort.embeddings
        mean = mean_embedding(of_mean.reshape(-1, of_mean.shape[-1]))
        centred = _units(sides.embeddings, sides.names, mean)
        scores["sub mean"] = score(centred)
    if cohort is not None and options.score_norm != "none":
        centred_cohort = _over_crops(_units(*_cohort_members(cohort, options.cohort_over), mean))
        statistics = cohort_statistics(
            _over_crops(centred), centred_cohort, sides.names, options.cohort_size, options.norm_std
        )
        normalised = normalise(scores["sub mean"], sides.enrol, sides.test, statistics, options.score_norm)
        scores[options.score_norm] = normalised
    return {name: values.astype(np.float32) for name, values in scores.items()}


def _units(embeddings: np.ndarray, names: list[str], mean: Optional[np.ndarray] = None) -> np.ndarray:
    """Return embeddings (U, D) or (U, C, D) less the mean, each of length 1."""
    repeated = np.repeat(names, embeddings.shape[1]) if embeddings.ndim == 3 else names
    return unit_length(embeddings.reshape(-1, embeddings.shape[-1]), repeated, mean).reshape(embeddings.shape)


def _over_crops(units: np.ndarray) -> np.ndarray:
    """Return (U, D): the mean of each utterance's crops, whose products are the mean cosines of all pairs."""
    return units.mean(axis=1) if units.ndim == 3 else units


def _cohort_members(cohort: EmbeddingStore, cohort_over: str) -> tuple[np.ndarray, list[str]]:
    """Return embeddings and names of what the cohort consists of: utterances or speakers."""
    if cohort_over == "utterance":
        return cohort.embeddings, cohort.utt_ids
    flat = cohort.embeddings.reshape(len(cohort.utt_ids), -1)
    speakers, means = speaker_means(flat, cohort.spk_ids)
    return means.reshape(-1, *cohort.embeddings.shape[1:]), speakers


def evaluate(
    trials: TrialList,
    evaluation: EmbeddingStore,
    cohort: Optional[EmbeddingStore],
    config: Config,
    folder: PathLike,
    why_none: str,
) -> dict[str, Result]:
    """Score a trial list, print the evaluation's lines, and write scores.tsv and results.json.

    Of a blind list the scores are written, and there are no error rates.

    Args:
        trials: trial list read for `evaluation`.
        evaluation, cohort: embeddings of one model.
        config: the keys of ScoreOptions, target_far, bootstrap and bootstrap_seed are used.
        folder: where the files go.
        why_none: why there is no cohort, when there is none.
    """
    if cohort is not None:
        check_disjoint(evaluation, cohort)
        _check_same_model(evaluation, cohort)
    score_options = ScoreOptions.from_config(config)
    scores = score_trials(trials, evaluation, cohort, score_options)
    options = asdict(score_options) | {
        name: getattr(config, name) for name in ("target_far", "bootstrap", "bootstrap_seed")
    }
    print(*trials.describe(), sep="\n")
    if config.score_norm in scores:
        size = len(set(cohort.spk_ids)) if config.cohort_over == "speaker" else len(cohort.utt_ids)
        options["cohort_size_used"] = min(config.cohort_size, size)
        print(f"{config.score_norm}: best {options['cohort_size_used']} of {size} cohort scores are used")
    results, details = {}, {}
    if trials.is_target is not None:
        results = {name: measure(values, trials.is_target) for name, values in scores.items()}
        details = _details(trials, evaluation, scores, config)
    _print_results(results, details, config)
    if results:
        warn_if_swapped(results["baseline"].eer, trials.is_target, config.trial_format)
    if trials.is_target is None:
        print(f"{', '.join(scores)}: scores only; error rates need a list that tells the truth")
    missing = [name for name in ("sub mean", config.score_norm) if name != "none" and name not in scores]
    if missing:
        print(f"no {' and no '.join(missing)}: {why_none}")
    columns = {name.replace(" ", "_"): values for name, values in scores.items()}
    trials.write_scores(Path(folder) / "scores.tsv", columns)
    _write_results(Path(folder) / "results.json", trials, evaluation, cohort, options, results, details)
    return results


def _details(
    trials: TrialList, evaluation: EmbeddingStore, scores: dict[str, np.ndarray], config: Config
) -> dict[str, Details]:
    intervals: dict[str, Intervals] = {}
    if config.bootstrap:
        speakers = trials.speakers(evaluation)
        draws = (config.bootstrap, config.bootstrap_seed)
        intervals = {
            name: speaker_intervals(values, trials.is_target, *speakers, P_TARGETS, *draws)
            for name, values in scores.items()
        }
    return {
        name: measure_details(values, trials.is_target, config.target_far, intervals.get(name))
        for name, values in scores.items()
    }


def _print_results(results: dict[str, Result], details: dict[str, Details], config: Config) -> None:
    for name, result in results.items():
        print(format_result(name, result))
    for name, result in results.items():
        print(*format_details(name, result, details[name], config.target_far), sep="\n")


def _check_same_model(evaluation: EmbeddingStore, cohort: EmbeddingStore) -> None:
    different = evaluation.identity.differences_in_making(cohort.identity)
    if different:
        raise InputError(f"evaluation and cohort embeddings differ in {', '.join(different)}. Make both the same way.")


def _write_results(
    path: Path,
    trials: TrialList,
    evaluation: EmbeddingStore,
    cohort: Optional[EmbeddingStore],
    options: dict[str, Any],
    results: dict[str, Result],
    details: dict[str, Details],
) -> None:
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
        "options": options,
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
