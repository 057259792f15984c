"""Calibration of pairs: log-likelihood ratios from cosines that account for the length and noise of both sides.

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
SHIPPED = "calibrations"  # folder in this package with a NAME.json for each calibrated public model
SPEECH_S = (1.0, 8.0)  # net speech is clipped to this range, s
SNR_DB = (0.0, 30.0)
INPUTS = ("cosine", "speech", "snr")
"""The cosine; the base-2 logarithm of the shorter side's net speech in s; the noisier side's SNR in dB."""
RATES = (1e-6, 0.5)  # accepted range of the rates of false answers


@dataclass(frozen=True)
class PairCalibration:
    """A fitted calibration of pairs of recordings.

    The thresholds follow from the rates. If the ratios are right, at most a share `rate` of pairs of different people
    reach ln(1 / rate), and at most a share `rate` of pairs of one person fall to -ln(1 / rate).

    Args:
        name: the model, or the file.
        fingerprint: identifies the model, see `fingerprint_of`.
        llr: weights for some of INPUTS; the first is the cosine.
        least_cosine: no pair below this cosine is accepted; None: no such limit.
        why: the reason for `least_cosine`, in words.
        card: the data of the fit, the measured error rates, and their limits.
        false_accepts: greatest share of accepted pairs of different people, 0 to 0.5.
        false_rejects: greatest share of rejected pairs of one person, 0 to 0.5.
        bands: the bands, a subset of BANDS, that the fit covers. Recordings of other bands get no answer: a telephone
            makes strangers alike, and separates two recordings of one person if only one went through it.

    Raises:
        ValueError: the rates are out of range, or a band is unknown.
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
        """The log-likelihood ratios at which the answer changes."""
        return Thresholds(
            -math.log(self.false_accepts),
            math.log(self.false_rejects),
            f"the calibration {self.name}",
            self.why,
            LLR,
            self.least_cosine,
        )

    def judge(self, score: float, qualities: Sequence[Optional[Quality]]) -> Verdict:
        """Return the answer for the cosine of two recordings.

        Raises:
            ValueError: the quality of a recording is unknown.
        """
        first, second = qualities
        if first is None or second is None:
            raise ValueError("a calibration needs the quality of both recordings: pass a speech detector.")
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
        """Return a copy with other rates; None: keep the present one."""
        return replace(
            self,
            false_accepts=self.false_accepts if false_accepts is None else false_accepts,
            false_rejects=self.false_rejects if false_rejects is None else false_rejects,
        )

    def save(self, path: PathLike) -> None:
        """Write the calibration as JSON."""
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
        """Read a calibration that `save` wrote, for use with a model.

        Raises:
            InputError: the file is missing, is not a calibration, or was fitted on scores of another model.
        """
        found = cls._read(path)
        if found.fingerprint != fingerprint_of(embedder):
            raise InputError(
                f"{path}: was fitted on scores of another model ({found.name}), which do not compare with scores of "
                f"{embedder.model_file}. Fit one for this model: mindvox calibrate pairs"
            )
        return found

    @classmethod
    def of_model(cls, embedder: Embedder) -> Optional["PairCalibration"]:
        """Return the calibration that this package ships for a public model; None: there is none for these weights.

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
        """Return the path of a public model's calibration in this package; the file need not exist."""
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
    """Raise ValueError if a rate of false answers is out of range."""
    for rate in rates:
        if not RATES[0] <= rate <= RATES[1]:
            raise ValueError(f"expected a rate from {RATES[0]:g} to {RATES[1]:g}, got {rate}.")


def fingerprint_of(embedder: Embedder) -> str:
    """Return an identifier of a model: the SHA-256 of the published weights, or else of the exported file.

    Each machine converts a public model itself, but the weights are the same everywhere.
    """
    card = card_of(embedder.model_file)
    return str(card["sha256"]) if card else embedder.engine.exported.file_sha256


def side_inputs(quality: Quality) -> tuple[float, float]:
    """Return the inputs `speech` and `snr` of INPUTS for one recording; a pair takes the lesser of its two sides."""
    snr_db = SNR_DB[1] if quality.snr_db is None else quality.snr_db
    return math.log2(np.clip(quality.net_speech_s, *SPEECH_S)), float(np.clip(snr_db, *SNR_DB))


def pair_inputs(score: float, first: Quality, second: Quality, names: Sequence[str] = INPUTS) -> np.ndarray:
    """Return a calibration's inputs, (len(names),), for the cosine of two recordings; see INPUTS."""
    speech, snr = map(min, side_inputs(first), side_inputs(second))
    values = {"cosine": score, "speech": speech, "snr": snr}
    return np.array([values[name] for name in names])
