"""The features that an evaluation reads, and their embeddings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from src.config import Config
from src.data.eval_store import EvalStore
from src.files import PathLike
from src.frontend.fbank import check_front_end
from src.scoring.embeddings import EmbeddingStore, Encode, Identity, load_or_extract
from src.scoring.evaluate import check_disjoint, why_no_cohort


@dataclass(frozen=True)
class FeatureStores:
    """Evaluation store and cohort store.

    Attributes:
        evaluation: the trial list's utterances.
        cohort: other speakers' utterances, or None.
        why_none: why there is no cohort, when there is none.
    """

    evaluation: EvalStore
    cohort: Optional[EvalStore]
    why_none: str

    @classmethod
    def open(cls, config: Config, data: PathLike, front_end: dict[str, Any]) -> "FeatureStores":
        """Open the stores at `data` and `train_norm_path`, and check all that can be before hours of extraction.

        Raises:
            InputError: a store is missing or damaged, was made with another front end than the model's, or both share
                speakers.
        """
        evaluation = EvalStore.open(data)
        check_front_end(front_end, evaluation.front_end, str(data))
        why_none = why_no_cohort(config)
        if why_none:
            return cls(evaluation, None, why_none)
        cohort = EvalStore.open(config.train_norm_path)
        check_front_end(front_end, cohort.front_end, config.train_norm_path)
        check_disjoint(evaluation, cohort)
        return cls(evaluation, cohort, "")

    def embed(
        self,
        folder: PathLike,
        encode: Encode,
        *,
        model_sha256: str,
        engine: str,
        cut_frames: Optional[int],
        batch_size: int,
    ) -> tuple[EmbeddingStore, Optional[EmbeddingStore]]:
        """Embed both stores into `folder`/eval and `folder`/norm, or reuse what is there; see `load_or_extract`."""

        def embed(store: EvalStore, name: str) -> EmbeddingStore:
            identity = Identity(model_sha256, store.sha256, engine, cut_frames, store.front_end)
            return load_or_extract(Path(folder) / name, identity, store, encode, batch_size)

        return embed(self.evaluation, "eval"), embed(self.cohort, "norm") if self.cohort is not None else None
