"""Scores between different speakers, per model; the threshold for strangers is computed from them."""

from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Optional

import numpy as np

from mindvox.home import CARD, ONNX, read_card

TAIL_FROM = 0.9  # quantile at which the fitted tail begins
RARE = 10  # the fit ends where this many scores remain above; fewer scores estimate a share badly
FIT_POINTS = 30


@dataclass(frozen=True)
class Background:
    """The upper tail of the cosines between different speakers, as a normal distribution.

    Args:
        location: mean of the normal distribution that fits the tail, not of all scores.
        scale: its standard deviation.
        source: the data on which it was measured.
    """

    location: float
    scale: float
    source: str

    def threshold(self, num_speakers: int, target_rate: float) -> float:
        """Return the cosine that a stranger reaches with at least one of `num_speakers` with probability `target_rate`.

        The speakers are taken as independent: all scores stay below it with probability (1 - p) ** num_speakers.

        Raises:
            ValueError: the rate is not between 0 and 1, or `num_speakers` is below 1.
        """
        if not 0 < target_rate < 1 or num_speakers < 1:
            raise ValueError(
                f"expected a rate between 0 and 1 and at least 1 speaker, got {target_rate} and {num_speakers}."
            )
        each = -np.expm1(np.log1p(-target_rate) / num_speakers)
        return self.location - self.scale * NormalDist().inv_cdf(each)


def fit_background(scores: np.ndarray, source: str) -> Background:
    """Fit a normal distribution to the upper tail of cosines (N,) between different speakers.

    Speakers of different sexes score far lower than speakers of the same sex. So all scores together are not normally
    distributed, and their standard deviation says nothing about the tail. The fit is a line through the upper
    quantiles.

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
    """Return the background of a public model; None: none was measured.

    Raises:
        InputError: the card is damaged.
    """
    if model_file.name != ONNX or not (model_file.parent / CARD).is_file():
        return None
    return BACKGROUNDS.get(read_card(model_file.parent)["name"])


# Made by `python benchmarks/identification.py`; docs/speakers.md describes the measurement.
BACKGROUNDS = {
    "campplus_zh_en": Background(
        location=0.0573,
        scale=0.1232,
        source="campplus_zh_en: 3 s of 243 readers of English against the others",
    )
}
