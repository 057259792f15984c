"""Evaluation of a trial list: scores of every kind, error rates, the printed lines and the files that keep them."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from src.config import Config
from src.corpus.tables import read_speakers
from src.corpus.trials import Trial, read_trials
from src.data.eval_store import EvalStore
from src.errors import InputError
from src.files import PathLike, atomic_path, sha256_file, write_json
from src.scoring.embeddings import EmbeddingStore
from src.scoring.metrics import eer, min_dcf
from src.scoring.normalisation import cohort_statistics, cosine_scores, mean_embedding, normalise, unit_length

FORMAT_VERSION = 1
P_TARGETS = (0.01, 0.05)


class Result(NamedTuple):
    """Error rates of one kind of score: EER as a fraction, its threshold, normalised minDCF for each p_target."""

    eer: float
    threshold: float
    min_dcf: dict[float, float]


def measure(scores: np.ndarray, is_target: np.ndarray) -> Result:
    """Compute the error rates that are printed."""
    return Result(*eer(scores, is_target), {p_target: min_dcf(scores, is_target, p_target) for p_target in P_TARGETS})


def format_result(name: str, result: Result) -> str:
    """Return the line of eval.log and acc.log: `eer baseline:0.0123 mindcf(0.01):0.1234 mindcf(0.05):0.0987`."""
    costs = " ".join(f"mindcf({p_target:g}):{cost:.4f}" for p_target, cost in result.min_dcf.items())
    return f"eer {name}:{result.eer:.4f} {costs}"


@dataclass(frozen=True)
class TrialList:
    """A trial list, each side found in a store.

    Attributes:
        path: the file.
        trials: its lines.
        is_target: truth of each trial, bool.
        enrol, test: row of each trial's side in the store.
    """

    path: Path
    trials: list[Trial]
    is_target: np.ndarray
    enrol: np.ndarray
    test: np.ndarray

    @classmethod
    def read(cls, path: PathLike, trial_format: str, store: EvalStore | EmbeddingStore) -> "TrialList":
        """Read a trial list and find its utterances among the store's.

        Raises:
            InputError: the file is wrong, names utterances that the store lacks, or has trials of one kind only.
        """
        trials = read_trials(path, trial_format)
        row_of = {utt_id: row for row, utt_id in enumerate(store.utt_ids)}
        named = {utt_id for trial in trials for utt_id in (trial.enrol, trial.test)}
        missing = named - row_of.keys()
        if missing:
            raise InputError(
                f"{path}: {len(missing)} of its {len(named)} utterances are not in the store, "
                f"such as {_some(missing)}. Prepare the store for this list."
            )
        is_target = np.array([trial.is_target for trial in trials])
        if is_target.all() or not is_target.any():
            raise InputError(f"{path}: expected target and non-target trials, all {len(trials)} are of one kind.")
        enrol = np.array([row_of[trial.enrol] for trial in trials])
        test = np.array([row_of[trial.test] for trial in trials])
        return cls(Path(path), trials, is_target, enrol, test)

    def rows(self) -> np.ndarray:
        """Return the rows that any trial names, rising."""
        return np.unique(np.concatenate((self.enrol, self.test)))


def check_unseen_speakers(trials: TrialList, store: EvalStore, checkpoint: PathLike, speakers_sha256: str) -> None:
    """Refuse trials of speakers that the model was trained on.

    Args:
        trials: the trial list.
        store: the store that it was read for.
        checkpoint: the model's file; speakers.csv beside it is the table of its training speakers.
        speakers_sha256: content of that table as the checkpoint's meta has it.
    """
    table = Path(checkpoint).with_name("speakers.csv")
    advice = "or pass --allow_seen_speakers=true."
    if not table.is_file() or sha256_file(table) != speakers_sha256:
        raise InputError(
            f"{table}: expected the training speakers of {checkpoint}, to keep them out of the trials, but it is "
            f"missing or another model's. Put it back, {advice}"
        )
    seen = {store.spk_ids[row] for row in trials.rows()} & read_speakers(table).keys()
    if seen:
        raise InputError(
            f"{trials.path}: {len(seen)} of its speakers are in {table}, such as {_some(seen)}. "
            f"Use other trials, {advice}"
        )


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
                f"{len(shared)} of the cohort's {what} are also in the evaluation store, such as {_some(shared)}. "
                "Prepare a cohort of other speakers."
            )


def _some(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:3])


def score_trials(
    trials: TrialList,
    evaluation: EmbeddingStore,
    cohort: Optional[EmbeddingStore],
    *,
    sub_mean: str,
    score_norm: str,
    cohort_size: int,
    norm_std: str,
) -> dict[str, np.ndarray]:
    """Score every trial: "baseline" (cosine), "sub mean" (cosine after mean subtraction), and the chosen norm of that.

    Args:
        trials: trial list read for `evaluation`.
        evaluation, cohort: embeddings. Without a cohort the kinds that need one are left out.
        sub_mean: whose mean is subtracted: "cohort", or "test" for that of the trials' own utterances.
        score_norm: "s-norm", "z-norm", "t-norm" or "none".
        cohort_size, norm_std: see cohort_statistics.

    Returns:
        Scores by kind, float32 (number of trials,).
    """
    rows = trials.rows()
    enrol, test = np.searchsorted(rows, trials.enrol), np.searchsorted(rows, trials.test)
    embeddings, utt_ids = evaluation.embeddings[rows], [evaluation.utt_ids[row] for row in rows]
    scores = {"baseline": cosine_scores(unit_length(embeddings, utt_ids), enrol, test)}
    if cohort is not None or sub_mean == "test":
        mean = mean_embedding(embeddings if sub_mean == "test" else cohort.embeddings)
        centred = unit_length(embeddings, utt_ids, mean)
        scores["sub mean"] = cosine_scores(centred, enrol, test)
    if cohort is not None and score_norm != "none":
        centred_cohort = unit_length(cohort.embeddings, cohort.utt_ids, mean)
        statistics = cohort_statistics(centred, centred_cohort, utt_ids, cohort_size, norm_std)
        scores[score_norm] = normalise(scores["sub mean"], enrol, test, statistics, score_norm)
    return {name: values.astype(np.float32) for name, values in scores.items()}


def evaluate(
    trials: TrialList,
    evaluation: EmbeddingStore,
    cohort: Optional[EmbeddingStore],
    config: Config,
    folder: PathLike,
    why_none: str,
) -> dict[str, Result]:
    """Score a trial list, print the evaluation's lines, and write scores.tsv and results.json.

    Args:
        trials: trial list read for `evaluation`.
        evaluation, cohort: embeddings of one model.
        config: sub_mean, score_norm, cohort_size and norm_std are used.
        folder: where the files go.
        why_none: why there is no cohort, when there is none.
    """
    if cohort is not None:
        check_disjoint(evaluation, cohort)
        _check_same_model(evaluation, cohort)
    options = {name: getattr(config, name) for name in ("sub_mean", "score_norm", "cohort_size", "norm_std")}
    scores = score_trials(trials, evaluation, cohort, **options)
    results = {name: measure(values, trials.is_target) for name, values in scores.items()}
    print(f"{trials.path}: {len(trials.trials)} trials, {np.count_nonzero(trials.is_target)} of them target")
    if config.score_norm in scores:
        options["cohort_size_used"] = min(config.cohort_size, len(cohort.utt_ids))
        print(
            f"{config.score_norm}: best {options['cohort_size_used']} of {len(cohort.utt_ids)} cohort scores are used"
        )
    for name, result in results.items():
        print(format_result(name, result))
    missing = [name for name in ("sub mean", config.score_norm) if name != "none" and name not in scores]
    if missing:
        print(f"no {' and no '.join(missing)}: {why_none}")
    _write_scores(Path(folder) / "scores.tsv", trials, scores)
    _write_results(Path(folder) / "results.json", trials, evaluation, cohort, options, results)
    return results


def _check_same_model(evaluation: EmbeddingStore, cohort: EmbeddingStore) -> None:
    different = [name for name in evaluation.identity.differences(cohort.identity) if name != "store_sha256"]
    if different:
        raise InputError(f"evaluation and cohort embeddings differ in {', '.join(different)}. Make both the same way.")


def _write_scores(path: Path, trials: TrialList, scores: dict[str, np.ndarray]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        print("label", "enrol", "test", *(name.replace(" ", "_") for name in scores), sep="\t", file=stream)
        for trial, *values in zip(trials.trials, *scores.values(), strict=True):
            numbers = (f"{value:.9g}" for value in values)  # nine digits give the same float32 back
            print(int(trial.is_target), trial.enrol, trial.test, *numbers, sep="\t", file=stream)


def _write_results(
    path: Path,
    trials: TrialList,
    evaluation: EmbeddingStore,
    cohort: Optional[EmbeddingStore],
    options: dict[str, Any],
    results: dict[str, Result],
) -> None:
    summary = {
        "format_version": FORMAT_VERSION,
        "trials": {
            "file": trials.path.name,
            "sha256": sha256_file(trials.path),
            "num_trials": len(trials.trials),
            "num_targets": int(np.count_nonzero(trials.is_target)),
        },
        "options": options,
        "evaluation": asdict(evaluation.identity),
        "cohort": asdict(cohort.identity) if cohort is not None else None,
        "results": {
            name.replace(" ", "_"): {
                "eer": result.eer,
                "threshold": result.threshold,
                "min_dcf": {f"{p_target:g}": cost for p_target, cost in result.min_dcf.items()},
            }
            for name, result in results.items()
        },
    }
    write_json(path, summary)
