"""The features that an evaluation reads, and their embeddings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from mindvox.config import Config
from mindvox.data.eval_store import EvalStore
from mindvox.errors import InputError
from mindvox.files import PathLike
from mindvox.frontend.frames import Windows
from mindvox.scoring.embeddings import EmbeddingStore, Encode, Identity, load_or_extract
from mindvox.scoring.options import ScoreOptions, check_score_options, why_no_cohort
from mindvox.scoring.trial_scores import check_disjoint


@dataclass(frozen=True)
class FeatureStores:
    """Evaluation store and cohort store.

    Attributes:
        evaluation: the trial list's utterances.
        cohort: other speakers' utterances, or None.
        why_none: why there is no cohort, when there is none.
        num_crops, crop_frames: crops of each utterance that get an embedding of their own (0: none), and their length.
        max_frames: longest stretch of an utterance that goes through the model at once, frames; 0: no limit.
    """

    evaluation: EvalStore
    cohort: Optional[EvalStore]
    why_none: str
    num_crops: int
    crop_frames: int
    max_frames: int = 0

    @classmethod
    def open(cls, config: Config, data: PathLike, front_end: dict[str, Any]) -> "FeatureStores":
        """Open the stores at `data` and `train_norm_path`, and check all that can be before hours of extraction.

        Raises:
            UsageError: the keys ask for a score that is not defined.
            InputError: a store is missing or damaged, holds features of another front end than the model's, or both
                share speakers.
        """
        check_score_options(ScoreOptions.from_config(config), config.eval_crops)
        evaluation = EvalStore.open(data, front_end)
        why_none = why_no_cohort(config)
        pieces = (config.eval_crops, config.eval_frames, config.max_frames)
        if why_none:
            return cls(evaluation, None, why_none, *pieces)
        cohort = EvalStore.open(config.train_norm_path, front_end)
        check_disjoint(evaluation, cohort)
        return cls(evaluation, cohort, "", *pieces)

    def embed(
        self,
        folder: PathLike,
        encode: Encode,
        *,
        model_sha256: str,
        engine: str,
        cut_frames: Optional[int],
        batch_size: int,
        min_frames: int,
        windows: Optional[Windows] = None,
    ) -> tuple[EmbeddingStore, Optional[EmbeddingStore]]:
        """Embed both stores into `folder`/eval and `folder`/norm, or reuse what is there; see `load_or_extract`.

        Raises:
            InputError: see `load_or_extract`; or crops are wanted of another length than the model takes.
        """
        if self.num_crops and cut_frames not in (None, self.crop_frames):
            raise InputError(f"eval_frames: crops of {self.crop_frames} frames, but the model takes {cut_frames}.")
        frames = self.crop_frames if self.num_crops else cut_frames

        def embed(store: EvalStore, name: str) -> EmbeddingStore:
            has_windows = not frames and windows is None and 0 < self.max_frames < store.num_frames.max()
            identity = Identity(
                model_sha256,
                store.sha256,
                engine,
                frames,
                store.front_end,
                self.num_crops,
                self.max_frames if has_windows else None,
            )
            return load_or_extract(
                Path(folder) / name, identity, store, encode, batch_size, self.max_frames, min_frames, windows
            )

        return embed(self.evaluation, "eval"), embed(self.cohort, "norm") if self.cohort is not None else None
