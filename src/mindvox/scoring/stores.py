"""The stores of an evaluation, and their embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from mindvox.config import Config
from mindvox.data.eval_store import EvalStore
from mindvox.errors import InputError
from mindvox.files import PathLike
from mindvox.frontend import front_end_of
from mindvox.frontend.frames import Windows
from mindvox.scoring.embeddings import EmbeddingStore, Encode, Identity, load_or_extract, samples_of_crop
from mindvox.scoring.options import ScoreOptions, check_score_options, why_no_cohort
from mindvox.scoring.trial_scores import check_disjoint


@dataclass(frozen=True)
class FeatureStores:
    """Evaluation store and cohort store.

    Attributes:
        evaluation: the trial list's utterances.
        cohort: other speakers' utterances, or None.
        why_none: why there is no cohort, if there is none.
        num_crops, crop_frames: number of crops of each utterance with their own embeddings (0: none), and their length.
        crop_samples: length of the crops if they are cut from the waveform; None: they are cut from the features.
        max_frames: longest stretch of an utterance that goes through the model at once, frames; 0: no limit.
    """

    evaluation: EvalStore
    cohort: Optional[EvalStore]
    why_none: str
    num_crops: int
    crop_frames: int
    crop_samples: Optional[int] = None
    max_frames: int = 0

    @classmethod
    def open(cls, config: Config, data: PathLike, front_end: dict[str, Any]) -> "FeatureStores":
        """Open the stores at `data` and `train_norm_path`, and check everything possible before hours of extraction.

        Raises:
            UsageError: the keys ask for a score that is not defined.
            InputError: a store is missing or damaged or has features of another front end than the model's, or both
                stores share speakers.
        """
        check_score_options(ScoreOptions.from_config(config), config.eval_crops)
        evaluation = EvalStore.open(data, front_end)
        why_none = why_no_cohort(config)
        cohort = None if why_none else EvalStore.open(config.train_norm_path, front_end)
        if cohort is not None:
            check_disjoint(evaluation, cohort)
        stores = [store for store in (evaluation, cohort) if store is not None]
        crop_frames, crop_samples = _crop_length(config, stores, front_end)
        return cls(evaluation, cohort, why_none, config.eval_crops, crop_frames, crop_samples, config.max_frames)

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
        """Embed both stores into `folder`/eval and `folder`/norm, or reuse existing embeddings; see `load_or_extract`.

        Raises:
            InputError: see `load_or_extract`; or the crops have another length than the model takes.
        """
        if self.num_crops and cut_frames not in (None, self.crop_frames):
            raise InputError(f"eval_frames: crops of {self.crop_frames} frames, but the model takes {cut_frames}.")
        frames = self.crop_frames if self.num_crops else cut_frames
        if self.num_crops:
            length = f"{self.crop_samples} samples" if self.crop_samples else f"{self.crop_frames} frames"
            where = "waveform" if self.crop_samples else "features"
            print(f"{self.num_crops} crops of {length} are cut from the {where} of each utterance")

        def embed(store: EvalStore, name: str) -> EmbeddingStore:
            has_windows = not frames and windows is None and 0 < self.max_frames < store.num_frames.max()
            identity = Identity(
                model_sha256,
                store.sha256,
                engine,
                frames,
                store.front_end,
                self.num_crops,
                self.crop_samples,
                self.max_frames if has_windows else None,
            )
            return load_or_extract(
                Path(folder) / name, identity, store, encode, batch_size, self.max_frames, min_frames, windows
            )

        return embed(self.evaluation, "eval"), embed(self.cohort, "norm") if self.cohort is not None else None


def _crop_length(config: Config, stores: Sequence[EvalStore], front_end: dict[str, Any]) -> tuple[int, Optional[int]]:
    """Return the length of a crop in frames, and in samples if it is cut from the waveform.

    Raises:
        InputError: crops must be cut from waveforms, but a store has none.
    """
    without = [store for store in stores if not store.holds_waveforms]
    of_features = config.crop_of == "features" or (config.crop_of == "auto" and len(without) == len(stores))
    if not config.eval_crops or of_features:
        return config.eval_frames, None
    if without:
        raise InputError(
            f"{without[0].folder}: holds features, and crop_of: {config.crop_of} cuts the waveform. Prepare the store "
            "with store_kind: waveform, or pass --crop_of=features."
        )
    num_samples = samples_of_crop(config.eval_frames)
    return front_end_of(front_end).num_frames(num_samples), num_samples
