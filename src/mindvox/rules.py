"""What turns a score into an answer: thresholds, where they come from, and the answers that there are."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional, Protocol

from mindvox.errors import InputError
from mindvox.home import CARD, ONNX, read_card
from mindvox.speech.quality import Quality

ACCEPT, REJECT, INCONCLUSIVE = "accept", "reject", "inconclusive"
COSINE, LLR = "cosine", "log-likelihood ratio"


class Verdict(NamedTuple):
    """An answer about two embeddings.

    Attributes:
        answer: ACCEPT, REJECT or INCONCLUSIVE.
        llr: natural logarithm of how much likelier the score is when both are one person; None: the rule knows none.
        reason: why there is no answer; empty when there is one.
    """

    answer: str
    llr: Optional[float]
    reason: str = ""


@dataclass(frozen=True)
class Thresholds:
    """Which values mean the same person, and which mean different people.

    Args:
        accept: the least value of the same person.
        reject: values below it are of different people; between both there is no answer.
        source: where they come from.
        why: why these.
        of: what is held against them, COSINE or LLR.
        least_cosine: whatever the value, a lower cosine is no evidence for the same person; None: no such limit.

    Raises:
        ValueError: they are impossible.
    """

    accept: float
    reject: float
    source: str
    why: str = ""
    of: str = COSINE
    least_cosine: Optional[float] = None

    def __post_init__(self) -> None:
        low, high = (-1.0, 1.0) if self.of == COSINE else (-math.inf, math.inf)
        if not low <= self.reject <= self.accept <= high:
            bounds = "cosines from -1 to 1" if self.of == COSINE else "log-likelihood ratios"
            raise ValueError(
                f"{self.source}: expected {bounds}, `reject` at most `accept`, got {self.reject} and {self.accept}."
            )

    @classmethod
    def of_model(cls, model_file: Path) -> Optional["Thresholds"]:
        """Return the cosines of a public model, from the card beside it; None: none are known of this model.

        Raises:
            InputError: the card is damaged.
        """
        card = card_of(model_file)
        stated = card["thresholds"] if card else None
        if card is None or stated is None:
            return None
        try:
            return cls(stated["same"], stated["different"], card["name"], stated["why"])
        except ValueError as error:
            raise InputError(f"{model_file.parent / CARD}: {error}") from None

    @property
    def thresholds(self) -> "Thresholds":
        """These, as of every Rule."""
        return self

    def why_silent(self, qualities: Iterable[Optional[Quality]]) -> str:
        """Return the empty string: a cosine is judged whatever the recordings' quality is."""
        return ""

    def judge(self, score: float, qualities: Sequence[Optional[Quality]] = ()) -> Verdict:
        """Return the answer for a cosine; whatever the recordings' quality is, it is the same."""
        return self.verdict(score, score, None)

    def verdict(self, value: float, cosine: float, llr: Optional[float]) -> Verdict:
        """Return the answer for a value, and for the cosine that it was made of."""
        if value < self.reject:
            return Verdict(REJECT, llr)
        if value < self.accept:
            return Verdict(
                INCONCLUSIVE, llr, f"the {'score' if self.of == COSINE else self.of} lies between the thresholds"
            )
        if self.least_cosine is not None and cosine < self.least_cosine:
            return Verdict(
                INCONCLUSIVE, llr, f"the score is below {self.least_cosine:g}, where strangers are found, too"
            )
        return Verdict(ACCEPT, llr)


class Rule(Protocol):
    """What turns a score into an answer: `Thresholds`, or a `PairCalibration`."""

    @property
    def thresholds(self) -> Thresholds:
        """What values are held against."""
        ...

    def why_silent(self, qualities: Iterable[Optional[Quality]]) -> str:
        """Return why there is no answer about recordings of these qualities; empty: there is one.

        A quality that is not known (None) is no reason.
        """
        ...

    def judge(self, score: float, qualities: Sequence[Optional[Quality]]) -> Verdict:
        """Return the answer for a cosine of two recordings of these qualities."""
        ...


def card_of(model_file: Path) -> Optional[dict[str, Any]]:
    """Return the card beside a public model; None: it is none.

    Raises:
        InputError: the card is damaged.
    """
    is_public = model_file.name == ONNX and (model_file.parent / CARD).is_file()
    return read_card(model_file.parent) if is_public else None
