"""Quality measures of trials, further inputs of a calibration: how far to trust a score.

They are wespeaker's (score_calibration.py): the minimum, maximum and ratio of both sides' duration, embedding length
and cohort mean. wespeaker also has the difference, which adds nothing to a weighted sum of minimum and maximum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from mindvox.data.eval_store import EvalStore
from mindvox.errors import InputError
from mindvox.files import PathLike
from mindvox.frontend import front_end_of
from mindvox.scoring.embeddings import EmbeddingStore, Identity
from mindvox.scoring.normalisation import cohort_statistics, mean_embedding, speaker_means, unit_length
from mindvox.scoring.score_files import ScoreTable
from mindvox.scoring.trial_list import some

MEASURES = ("duration", "magnitude", "cohort_mean")
MAX_DURATION_S = 20.0  # more speech does not make a score more reliable; wespeaker's limit


@dataclass(frozen=True)
class QualitySource:
    """The sources of quality measures.

    Attributes:
        evaluation: embeddings of the trials' utterances.
        cohort: embeddings of other speakers, for magnitude (their mean is subtracted) and cohort_mean.
        store: the features of the evaluation embeddings, for duration; None if it is not requested.
    """

    evaluation: EmbeddingStore
    cohort: EmbeddingStore
    store: Optional[EvalStore]

    @classmethod
    def open(cls, embeddings: PathLike, store: Optional[PathLike]) -> "QualitySource":
        """Open the embedding stores `embeddings`/eval and `embeddings`/norm, and an evaluation store.

        Raises:
            InputError: a store is missing or damaged, or they do not belong together.
        """
        evaluation, cohort = (EmbeddingStore.open(Path(embeddings) / name) for name in ("eval", "norm"))
        different = evaluation.identity.differences_in_making(cohort.identity)
        if different:
            raise InputError(f"{embeddings}: eval and norm differ in {', '.join(different)}. Make both the same way.")
        if evaluation.embeddings.ndim != 2:
            raise InputError(f"{embeddings}/eval: quality measures need one embedding an utterance, not crops.")
        features = EvalStore.open(store, evaluation.identity.front_end) if store is not None else None
        if features is not None and features.sha256 != evaluation.identity.store_sha256:
            raise InputError(f"{store}: not the store that the embeddings in {embeddings}/eval were made of.")
        return cls(evaluation, cohort, features)

    def check_same_model(self, identity: Identity) -> None:
        """Raise InputError for embeddings that were made in another way than those of the fit."""
        different = identity.differences_in_making(self.evaluation.identity)
        if different:
            raise InputError(
                f"the embeddings differ from those that the calibration was fitted with in {', '.join(different)}. "
                "Make both the same way."
            )

    def measure(self, table: ScoreTable, measures: Sequence[str], cohort_size: int) -> dict[str, np.ndarray]:
        """Compute measures of each trial.

        Args:
            table: the trials.
            measures: some of MEASURES.
            cohort_size: number of most similar cohort speakers that cohort_mean averages over.

        Returns:
            "<measure> min", "<measure> max" and "<measure> ratio" of each measure, float64 (T,).

        Raises:
            InputError: an utterance is not in the store, or a measure is not positive.
        """
        names = sorted({*table.enrol, *table.test})
        row_of = {utt_id: row for row, utt_id in enumerate(self.evaluation.utt_ids)}
        missing = [name for name in names if name not in row_of]
        if missing:
            raise InputError(
                f"{table.path}: {len(missing)} of its {len(names)} utterances have no embedding, such as "
                f"{some(missing)}. Give --embeddings the folder with those that the scores were made of."
            )
        rows = np.array([row_of[name] for name in names])
        index = {name: position for position, name in enumerate(names)}
        enrol, test = (np.array([index[name] for name in side]) for side in (table.enrol, table.test))
        found: dict[str, np.ndarray] = {}
        for measure in measures:
            values = self._of_utterances(measure, names, rows, cohort_size)
            found |= {f"{measure} {name}": value for name, value in _of_pairs(values[enrol], values[test]).items()}
        return found

    def _of_utterances(self, measure: str, names: Sequence[str], rows: np.ndarray, cohort_size: int) -> np.ndarray:
        if measure == "duration":
            return self._durations(names)
        embeddings, mean = self.evaluation.embeddings[rows], mean_embedding(self.cohort.embeddings)
        if measure == "magnitude":
            values = np.linalg.norm(embeddings - mean, axis=1)
        else:
            speakers, means = speaker_means(self.cohort.embeddings, self.cohort.spk_ids)
            unit, cohort = unit_length(embeddings, names, mean), unit_length(means, speakers, mean)
            values = cohort_statistics(unit, cohort, names, cohort_size).mean
        if not (values > 0).all():
            lowest = int(np.argmin(values))
            raise InputError(
                f"{names[lowest]}: {measure} is {values[lowest]:.4g}, its ratio needs positive numbers. Give `fit` a "
                "smaller --cohort_size, which takes speakers that are more alike, or leave the measure out."
            )
        return values

    def _durations(self, names: Sequence[str]) -> np.ndarray:
        """Return the seconds that entered each embedding, at most MAX_DURATION_S."""
        if self.store is None:
            raise InputError("duration needs the evaluation store: give --store.")
        frames: Mapping[str, int] = dict(zip(self.store.utt_ids, self.store.num_frames.tolist(), strict=True))
        num_frames = np.array([frames[name] for name in names], dtype=np.float64)
        if self.evaluation.identity.cut_frames:
            num_frames = np.minimum(num_frames, self.evaluation.identity.cut_frames)
        return np.minimum(num_frames * front_end_of(self.store.front_end).frame_shift_s, MAX_DURATION_S)


def _of_pairs(enrol: np.ndarray, test: np.ndarray) -> dict[str, np.ndarray]:
    least, greatest = np.minimum(enrol, test), np.maximum(enrol, test)
    return {"min": least, "max": greatest, "ratio": greatest / least}
