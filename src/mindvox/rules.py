"""Rules that turn a score into an answer: thresholds, their source, and the possible answers."""

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
        llr: natural logarithm of the likelihood ratio of one person against two; None: the rule gives none.
        reason: why the answer is INCONCLUSIVE; otherwise empty.
    """

    answer: str
    llr: Optional[float]
    reason: str = ""


@dataclass(frozen=True)
class Thresholds:
    """Thresholds for the same person and for different people.

    Args:
        accept: values from here on mean the same person.
        reject: values below mean different people; between the two there is no answer.
        source: where the thresholds come from.
        why: the reason for these values.
        of: the kind of value that is compared, COSINE or LLR.
        least_cosine: pairs with a lower cosine are never accepted; None: no such limit.

    Raises:
        ValueError: the thresholds are impossible.
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
        """Return the thresholds on a public model's card; None: the model has none.

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
        """The object itself; part of every Rule."""
        return self

    def why_silent(self, qualities: Iterable[Optional[Quality]]) -> str:
        """Return the empty string: a cosine is judged whatever the recordings' quality is."""
        return ""

    def judge(self, score: float, qualities: Sequence[Optional[Quality]] = ()) -> Verdict:
        """Return the answer for a cosine; the recordings' quality is not considered."""
        return self.verdict(score, score, None)

    def verdict(self, value: float, cosine: float, llr: Optional[float]) -> Verdict:
        """Return the answer for a value and for the cosine from which it was computed."""
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
    """A rule that turns a score into an answer: `Thresholds` or a `PairCalibration`."""

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds for values of the rule."""
        ...

    def why_silent(self, qualities: Iterable[Optional[Quality]]) -> str:
        """Return why there is no answer about recordings of these qualities; empty: there is one.

        A quality that is not known (None) is no reason.
        """
        ...

    def judge(self, score: float, qualities: Sequence[Optional[Quality]]) -> Verdict:
        """Return the answer for a cosine of two recordings with these qualities."""
        ...


def card_of(model_file: Path) -> Optional[dict[str, Any]]:
    """Return the card beside a public model; None: the file is not a public model.

    Raises:
        InputError: the card is damaged.
    """
    is_public = model_file.name == ONNX and (model_file.parent / CARD).is_file()
    return read_card(model_file.parent) if is_public else None
