"""Are two recordings of the same person? A score, the thresholds that it is held against, and the answer."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from mindvox.embedder import Embedder, Recording, UnreadRecording, UnusableRecording
from mindvox.errors import InputError, UsageError
from mindvox.home import CARD, ONNX, read_card

SAME, DIFFERENT, CANNOT_TELL = "same", "different", "cannot tell"


@dataclass(frozen=True)
class Thresholds:
    """Which cosines mean the same person, and which mean different people.

    Args:
        same: the least score of the same person.
        different: scores below it are of different people; between both there is no answer.
        source: where they come from.
        why: why these.
    """

    same: float
    different: float
    source: str
    why: str = ""

    def __post_init__(self) -> None:
        if not -1 <= self.different <= self.same <= 1:
            raise ValueError(
                f"{self.source}: expected cosines from -1 to 1, `different` at most `same`, got {self.different} and "
                f"{self.same}."
            )

    @classmethod
    def of_model(cls, model_file: Path) -> Optional["Thresholds"]:
        """Return the thresholds of a public model, from the card beside it; None: none are known of this model.

        Raises:
            InputError: the card is damaged.
        """
        path = model_file.parent / CARD
        if model_file.name != ONNX or not path.is_file():
            return None
        card = read_card(model_file.parent)
        stated = card["thresholds"]
        if stated is None:
            return None
        try:
            return cls(stated["same"], stated["different"], card["name"], stated["why"])
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None

    def judge(self, score: float) -> str:
        """Return SAME, DIFFERENT or CANNOT_TELL."""
        if score >= self.same:
            return SAME
        return DIFFERENT if score < self.different else CANNOT_TELL


@dataclass(frozen=True)
class Decision:
    """The answer for two recordings.

    Attributes:
        answer: SAME, DIFFERENT or CANNOT_TELL.
        score: cosine of the embeddings, from -1 to 1; None: a recording cannot be used.
        thresholds: what the score was held against.
        reason: why there is no answer; empty when there is one.
    """

    answer: str
    score: Optional[float]
    thresholds: Thresholds
    reason: str = ""


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Return the cosine of two embeddings (D,), from -1 to 1.

    Raises:
        ValueError: their sizes differ, or one is zero or not finite.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"expected two embeddings (D,) of one size, got {first.shape} and {second.shape}.")
    length = np.linalg.norm(first) * np.linalg.norm(second)
    if not 0 < length < math.inf:
        raise ValueError("expected embeddings that are finite and not zero.")
    return float(np.clip(first @ second / length, -1, 1))


def verify(
    embedder: Embedder,
    first: Recording,
    second: Recording,
    thresholds: Optional[Thresholds] = None,
    sample_rate: Optional[int] = None,
    channel: Optional[int] = None,
) -> Decision:
    """Decide whether two recordings are of the same person.

    Args:
        embedder: the model.
        first, second, sample_rate, channel: see `Embedder.embed`.
        thresholds: None: the model's own.

    Raises:
        UsageError: the model has no thresholds of its own, and none are given.
        InputError: see `Embedder.embed`. A recording that cannot be used is no error but CANNOT_TELL.
    """
    thresholds = thresholds or Thresholds.of_model(embedder.model_file)
    if thresholds is None:
        raise UsageError(
            f"{embedder.model_file}: this model has no threshold of its own. Give one (--threshold); `mindvox eval` "
            "prints the one of equal error rates of a trial list."
        )
    try:
        embeddings = [embedder.embed(recording, sample_rate, channel) for recording in (first, second)]
    except UnreadRecording:
        raise  # says nothing about the recording
    except UnusableRecording as error:
        return Decision(CANNOT_TELL, None, thresholds, str(error).rstrip("."))
    score = cosine(*embeddings)
    answer = thresholds.judge(score)
    reason = "the score lies between the thresholds" if answer == CANNOT_TELL else ""
    return Decision(answer, score, thresholds, reason)
