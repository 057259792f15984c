"""How alike different speakers are, by model: from it follows the score at which a stranger is taken for somebody."""

from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Optional

import numpy as np

from mindvox.home import CARD, ONNX, read_card

TAIL_FROM = 0.9  # share of the scores below the tail that a distribution is fitted to
RARE = 10  # scores beyond the end of the fit: fewer say little about their own share
FIT_POINTS = 30


@dataclass(frozen=True)
class Background:
    """Cosines of different speakers, a normal distribution that fits the upper tail.

    Args:
        location, scale: of the distribution; of the tail, not of all scores.
        source: what it was measured on.
    """

    location: float
    scale: float
    source: str

    def threshold(self, num_speakers: int, target_rate: float) -> float:
        """Return the cosine that a stranger reaches with `target_rate` with at least one of `num_speakers`.

        The speakers count as independent: all stay below with probability (1 - p) ** num_speakers.

        Raises:
            ValueError: the rate is not between 0 and 1, or there is no speaker.
        """
        if not 0 < target_rate < 1 or num_speakers < 1:
            raise ValueError(f"expected a rate between 0 and 1 and speakers, got {target_rate} and {num_speakers}.")
        each = -np.expm1(np.log1p(-target_rate) / num_speakers)
        return self.location - self.scale * NormalDist().inv_cdf(each)


def fit_background(scores: np.ndarray, source: str) -> Background:
    """Fit a normal distribution to the upper tail of cosines (N,) of different speakers.

    Speakers of the other sex score far lower than those of one's own: all scores together are no normal distribution,
    and their standard deviation says nothing about the tail. So a line is laid through the upper quantiles.

    Raises:
        ValueError: there are too few scores for a tail.
    """
    top = 1 - RARE / max(len(scores), 1)
    if top <= TAIL_FROM:
        raise ValueError(f"expected more than {RARE / (1 - TAIL_FROM):g} scores, got {len(scores)}.")
    normal = NormalDist()
    places = np.linspace(normal.inv_cdf(TAIL_FROM), normal.inv_cdf(top), FIT_POINTS)
    quantiles = np.quantile(scores, [normal.cdf(place) for place in places])
    scale, location = np.polyfit(places, quantiles, 1)
    return Background(float(location), float(scale), source)


def background_of(model_file: Path) -> Optional[Background]:
    """Return what is known of a public model by its card; None: nothing.

    Raises:
        InputError: the card is damaged.
    """
    if model_file.name != ONNX or not (model_file.parent / CARD).is_file():
        return None
    return BACKGROUNDS.get(read_card(model_file.parent)["name"])


# Made by `python benchmarks/identification.py`; docs/speakers.md says what was measured.
BACKGROUNDS = {
    "campplus_zh_en": Background(
        location=0.0573,
        scale=0.1232,
        source="campplus_zh_en: 3 s of 243 readers of English against the others",
    )
}
