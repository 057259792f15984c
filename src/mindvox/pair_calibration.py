"""Log-likelihood ratios of pairs of recordings: a calibration of cosines that knows length and noise of both sides.

calibration = PairCalibration.of_model(embedder)
calibration.judge(cosine, (first_quality, second_quality))
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindvox.embedder import Embedder
from mindvox.errors import InputError
from mindvox.files import PathLike, read_json, write_json
from mindvox.rules import INCONCLUSIVE, LLR, Thresholds, Verdict, card_of
from mindvox.scoring.linear_llr import LinearLlr
from mindvox.speech.quality import BANDS, WIDE_BAND, Quality, band_of

FORMAT_VERSION = 1
SHIPPED = "calibrations"  # folder in this package, NAME.json for a public model
SPEECH_S = (1.0, 8.0)  # net speech counts between these, s
SNR_DB = (0.0, 30.0)
INPUTS = ("cosine", "speech", "snr")
"""The cosine; logarithm to base 2 of the shorter side's net speech, s; the noisier side's ratio, dB."""
RATES = (1e-6, 0.5)  # that false answers may be asked to keep to


@dataclass(frozen=True)
class PairCalibration:
    """A fitted calibration of pairs of recordings.

    The thresholds follow from the rates: were the ratios right, one of at least ln(1 / rate) would come from two people
    in at most that share of their pairs, and likewise one of at most -ln(1 / rate) from one person.

    Args:
        name: the model, or the file.
        fingerprint: of the model, see `fingerprint_of`.
        llr: weights of some of INPUTS, of which the first is the cosine.
        least_cosine: no pair below it is accepted; None: no such limit.
        why: the reason for `least_cosine`, for people.
        card: what it was fitted on, what was measured, and what that cannot show.
        false_accepts: greatest share of accepted pairs of different people, 0 to 0.5.
        false_rejects: greatest share of rejected pairs of one person.
        bands: which of BANDS it was fitted on. For another recording there is no answer: a telephone makes strangers
            alike, and one person's two recordings unlike where only one is through it.

    Raises:
        ValueError: the rates are out of range, or there is no such band.
    """

    name: str
    fingerprint: str
    llr: LinearLlr
    least_cosine: Optional[float]
    why: str
    card: dict[str, Any]
    false_accepts: float = 0.01
    false_rejects: float = 0.01
    bands: tuple[str, ...] = (WIDE_BAND,)

    def __post_init__(self) -> None:
        check_rates(self.false_accepts, self.false_rejects)
        if not (self.bands and set(self.bands) <= set(BANDS)):
            raise ValueError(f"expected bands of {', '.join(BANDS)}, got {', '.join(self.bands) or 'none'}.")

    @property
    def thresholds(self) -> Thresholds:
        """The ratios that decide."""
        return Thresholds(
            -math.log(self.false_accepts),
            math.log(self.false_rejects),
            f"the calibration {self.name}",
            self.why,
            LLR,
            self.least_cosine,
        )

    def judge(self, score: float, qualities: Sequence[Optional[Quality]]) -> Verdict:
        """Return the answer for a cosine of two recordings.

        Raises:
            ValueError: a recording's quality is not known.
        """
        first, second = qualities
        if first is None or second is None:
            raise ValueError("a calibration needs the quality of both recordings: give a detector of speech.")
        return self.judge_speaker([score], first, [second])

    def judge_speaker(self, scores: Sequence[float], quality: Quality, enrolled: Sequence[Quality]) -> Verdict:
        """Return the answer for a recording and a speaker's enrolled recordings.

        The ratio is the mean of the ratios with each enrolled recording. Were these independent, it would be their sum;
        they share the recording, the speaker and often the session, so a sum would be far too sure. With one enrolled
        recording it is the ratio of the pair.

        Args:
            scores: cosine of the recording with each enrolled one, at least one.
            quality: of the recording.
            enrolled: of each enrolled recording.
        """
        reason = self.why_silent([quality, *enrolled])
        if reason:
            return Verdict(INCONCLUSIVE, None, reason)
        pairs = zip(scores, enrolled, strict=True)
        inputs = np.stack([pair_inputs(score, quality, other, self.llr.names) for score, other in pairs])
        llr = float(self.llr(inputs).mean())
        return self.thresholds.verdict(llr, float(np.mean(scores)), llr)

    def why_silent(self, qualities: Iterable[Optional[Quality]]) -> str:
        """Return why there is no answer about recordings of these qualities: a band that the fit did not have."""
        for quality in qualities:
            if quality is not None and (band := band_of(quality)) not in self.bands:
                advice = "`mindvox calibrate pairs` fits one"
                return f"{band} speech, and {self.thresholds.source} was fitted on none ({advice})"
        return ""

    def with_rates(
        self, false_accepts: Optional[float] = None, false_rejects: Optional[float] = None
    ) -> "PairCalibration":
        """Return it with other rates; None: as they are."""
        return replace(
            self,
            false_accepts=self.false_accepts if false_accepts is None else false_accepts,
            false_rejects=self.false_rejects if false_rejects is None else false_rejects,
        )

    def save(self, path: PathLike) -> None:
        """Write it as JSON."""
        write_json(
            path,
            {
                "format_version": FORMAT_VERSION,
                "name": self.name,
                "fingerprint": self.fingerprint,
                "weights": [
                    {"input": name, "weight": weight}
                    for name, weight in zip(self.llr.names, self.llr.weights, strict=True)
                ],
                "offset": self.llr.offset,
                "least_cosine": self.least_cosine,
                "why": self.why,
                "false_accepts": self.false_accepts,
                "false_rejects": self.false_rejects,
                "bands": list(self.bands),
                "card": self.card,
            },
        )

    @classmethod
    def open(cls, path: PathLike, embedder: Embedder) -> "PairCalibration":
        """Read what `save` wrote, for use with a model.

        Raises:
            InputError: the file is missing, is none, or was fitted on another model's scores.
        """
        found = cls._read(path)
        if found.fingerprint != fingerprint_of(embedder):
            raise InputError(
                f"{path}: was fitted on scores of another model ({found.name}); scores of {embedder.model_file} mean "
                "something else. Fit one for it: mindvox calibrate pairs"
            )
        return found

    @classmethod
    def of_model(cls, embedder: Embedder) -> Optional["PairCalibration"]:
        """Return the calibration that this package ships for a public model; None: there is none for its weights.

        Raises:
            InputError: the model's card is damaged.
        """
        card = card_of(embedder.model_file)
        if card is None:
            return None
        shipped = cls.shipped_path(card["name"])
        found = cls._read(shipped) if shipped.is_file() else None
        return found if found is not None and found.fingerprint == card["sha256"] else None

    @staticmethod
    def shipped_path(name: str) -> Path:
        """Return where a public model's calibration is in this package, if there is one."""
        return Path(__file__).parent / SHIPPED / f"{name}.json"

    @classmethod
    def _read(cls, path: PathLike) -> "PairCalibration":
        stored = read_json(path)
        try:
            if stored["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format_version {stored['format_version']}")
            names = tuple(str(item["input"]) for item in stored["weights"])
            if names[:1] != INPUTS[:1] or len(set(names)) < len(names) or not set(names) <= set(INPUTS):
                raise ValueError(f"weights of {', '.join(names)}")
            llr = LinearLlr(names, tuple(float(item["weight"]) for item in stored["weights"]), float(stored["offset"]))
            least = None if stored["least_cosine"] is None else float(stored["least_cosine"])
            if not all(map(math.isfinite, (*llr.weights, llr.offset, least or 0.0))) or llr.weights[0] <= 0:
                raise ValueError("weights that are not finite, or one of the cosine that is not positive")
            return cls(
                str(stored["name"]),
                str(stored["fingerprint"]),
                llr,
                least,
                str(stored["why"]),
                dict(stored["card"]),
                float(stored["false_accepts"]),
                float(stored["false_rejects"]),
                tuple(str(band) for band in stored["bands"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: expected a calibration of recordings, version {FORMAT_VERSION}, got {error}. "
                "`mindvox calibrate pairs` fits one."
            ) from None


def check_rates(*rates: float) -> None:
    """Raise ValueError for a rate of false answers that nobody may ask for."""
    for rate in rates:
        if not RATES[0] <= rate <= RATES[1]:
            raise ValueError(f"expected a rate from {RATES[0]:g} to {RATES[1]:g}, got {rate}.")


def fingerprint_of(embedder: Embedder) -> str:
    """Return what tells a model from others: the published weights' sha256, or the exported file's.

    A public model is converted on each machine; its weights are the same everywhere.
    """
    card = card_of(embedder.model_file)
    return str(card["sha256"]) if card else embedder.engine.exported.file_sha256


def side_inputs(quality: Quality) -> tuple[float, float]:
    """Return what `speech` and `snr` of INPUTS are for one recording; a pair has the lesser of both sides."""
    snr_db = SNR_DB[1] if quality.snr_db is None else quality.snr_db
    return math.log2(np.clip(quality.net_speech_s, *SPEECH_S)), float(np.clip(snr_db, *SNR_DB))


def pair_inputs(score: float, first: Quality, second: Quality, names: Sequence[str] = INPUTS) -> np.ndarray:
    """Return a calibration's inputs, (len(names),), for a cosine of two recordings; see INPUTS."""
    speech, snr = map(min, side_inputs(first), side_inputs(second))
    values = {"cosine": score, "speech": speech, "snr": snr}
    return np.array([values[name] for name in names])
