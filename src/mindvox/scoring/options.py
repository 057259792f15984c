"""Scoring options: the keys for them, and which combinations are defined."""

from dataclasses import dataclass
from pathlib import Path

from mindvox.config import Config
from mindvox.errors import UsageError


@dataclass(frozen=True)
class ScoreOptions:
    """Scoring options; names, values and meanings are those of the configuration's keys.

    Attributes:
        sub_mean: source of the subtracted mean: "cohort", or "test" for the trials' own utterances.
        score_norm: "s-norm", "z-norm", "t-norm" or "none".
        cohort_size, norm_std: see cohort_statistics.
        cohort_over: members of the cohort: "utterance", or "speaker" for the mean embedding of each speaker.
        crop_score: score of utterances with several crops: "distance" or "cosine", the mean over all pairs.
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


def check_score_options(options: ScoreOptions, num_crops: int) -> None:
    """Raise UsageError for a score that is not defined."""
    if num_crops and options.crop_score == "distance" and options.score_norm != "none":
        raise UsageError(
            f"score_norm: {options.score_norm} is defined for cosines, not for crop_score: distance. "
            "Pass --score_norm=none, or --crop_score=cosine."
        )


def why_no_cohort(config: Config) -> str:
    """Return why there is no cohort, and what to do; empty if train_norm_path is a folder and its cohort is needed."""
    if config.score_norm == "none" and config.sub_mean == "test":
        return "nothing needs one."
    if config.train_norm_path and Path(config.train_norm_path).is_dir():
        return ""
    reason = f"{config.train_norm_path} does not exist" if config.train_norm_path else "is not set"
    return f"train_norm_path {reason}; eval_data_prepare.py writes a cohort to feat_norm_folder."
