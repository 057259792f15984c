"""Scores of a trial list from embeddings: cosines, plain, after mean subtraction, and normalised by a cohort."""

from typing import Optional

import numpy as np

from mindvox.data.eval_store import EvalStore
from mindvox.errors import InputError, UsageError
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
from mindvox.scoring.options import ScoreOptions, check_score_options
from mindvox.scoring.trial_list import TrialList, some


def check_disjoint(store: EvalStore | EmbeddingStore, cohort: EvalStore | EmbeddingStore) -> None:
    """Raise InputError for a cohort that shares speakers or utterances with the evaluation store, hence has targets."""
    pairs = {"speakers": (store.spk_ids, cohort.spk_ids), "utterances": (store.utt_ids, cohort.utt_ids)}
    for what, (names, cohort_names) in pairs.items():
        shared = set(names) & set(cohort_names)
        if shared:
            raise InputError(
                f"{len(shared)} of the cohort's {what} are also in the evaluation store, such as {some(shared)}. "
                "Prepare a cohort of other speakers."
            )


def check_same_model(evaluation: EmbeddingStore, cohort: EmbeddingStore) -> None:
    """Raise InputError for embeddings of two models, or made in two ways."""
    different = evaluation.identity.differences_in_making(cohort.identity)
    if different:
        raise InputError(f"evaluation and cohort embeddings differ in {', '.join(different)}. Make both the same way.")


def score_trials(
    trials: TrialList, evaluation: EmbeddingStore, cohort: Optional[EmbeddingStore], options: ScoreOptions
) -> dict[str, np.ndarray]:
    """Score every trial: "baseline" (cosine), "sub mean" (cosine after mean subtraction), and the chosen norm of that.

    With several crops of each utterance, a score is the mean over all pairs of crops, of their cosines or of their
    negated distances.

    Args:
        trials: trial list read for `evaluation`.
        evaluation, cohort: embeddings. Without a cohort, the kinds that need one are left out.
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
    mean = _mean_to_subtract(trials, evaluation, cohort, options.sub_mean)
    if mean is not None:
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


def _mean_to_subtract(
    trials: TrialList, evaluation: EmbeddingStore, cohort: Optional[EmbeddingStore], sub_mean: str
) -> Optional[np.ndarray]:
    """Return the mean embedding (D,) of the trials' utterances or of the cohort; None: there is no cohort."""
    if sub_mean == "test":
        embeddings = evaluation.embeddings[trials.rows()]
    elif cohort is not None:
        embeddings = cohort.embeddings
    else:
        return None
    return mean_embedding(embeddings.reshape(-1, embeddings.shape[-1]))


def _units(embeddings: np.ndarray, names: list[str], mean: Optional[np.ndarray] = None) -> np.ndarray:
    """Return embeddings (U, D) or (U, C, D) minus the mean, each scaled to length 1."""
    repeated = [name for name in names for _ in range(embeddings.shape[1])] if embeddings.ndim == 3 else names
    return unit_length(embeddings.reshape(-1, embeddings.shape[-1]), repeated, mean).reshape(embeddings.shape)


def _over_crops(units: np.ndarray) -> np.ndarray:
    """Return (U, D): the mean of each utterance's crops, whose products are the mean cosines of all pairs."""
    return units.mean(axis=1) if units.ndim == 3 else units


def _cohort_members(cohort: EmbeddingStore, cohort_over: str) -> tuple[np.ndarray, list[str]]:
    """Return embeddings and names of the members of the cohort: utterances or speakers."""
    if cohort_over == "utterance":
        return cohort.embeddings, cohort.utt_ids
    flat = cohort.embeddings.reshape(len(cohort.utt_ids), -1)
    speakers, means = speaker_means(flat, cohort.spk_ids)
    return means.reshape(-1, *cohort.embeddings.shape[1:]), speakers
