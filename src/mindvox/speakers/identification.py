"""Identify which enrolled speaker speaks, or that it is a stranger.

The more speakers are enrolled, the more likely a stranger resembles one of them. So the score from which a name is
given is computed from the number of speakers and from the share of strangers that may be given a name.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindvox.decisions import Source
from mindvox.embedder import Embedder
from mindvox.errors import UsageError
from mindvox.pair_calibration import PairCalibration
from mindvox.rules import Thresholds
from mindvox.speakers.backgrounds import Background, background_of, fit_background
from mindvox.speakers.listening import Listener, UnfitRecording
from mindvox.speakers.store import Match, NoSuchSpeaker, SpeakerStore
from mindvox.speakers.verification import compare
from mindvox.speech.quality import Quality

IDENTIFIED, UNKNOWN, INCONCLUSIVE = "identified", "unknown", "inconclusive"
OTHER_BAND = "other_band"  # the model's calibration has no answer for recordings of this band
TARGET_RATE = 0.01
NUM_CANDIDATES = 5
LEAST_POPULATION = 50  # fewest enrolled speakers from whose cosines (1,225 pairs) a threshold is computed
MOST_POPULATION = 1000  # most enrolled speakers that are compared for it


@dataclass(frozen=True)
class NameThreshold:
    """The score from which a name is given.

    Attributes:
        value: the threshold, a cosine.
        origin: where it comes from.
        num_speakers: number of candidates that it is for.
        target_rate: share of strangers that may be given a name; None: the user gave the value.
    """

    value: float
    origin: str
    num_speakers: int
    target_rate: Optional[float]


@dataclass(frozen=True)
class Naming:
    """When a name is given.

    Attributes:
        threshold: the score from which a name is given.
        calibration: the model's calibration. If it has no answer about two recordings, identification has none either.
            None: the model has no calibration, or the user gave the threshold.
    """

    threshold: NameThreshold
    calibration: Optional[PairCalibration]


@dataclass(frozen=True)
class Identification:
    """The answer for one recording.

    Attributes:
        answer: IDENTIFIED; UNKNOWN: nobody reaches the threshold; INCONCLUSIVE: the recording cannot be used, or the
            model's calibration does not cover the band of the recording or of the nearest speaker's recordings.
        name: the speaker's name; None unless IDENTIFIED.
        score: cosine with the nearest speaker's centroid; None: nobody is enrolled, or the recording cannot be used.
        threshold: the threshold with which the score was compared.
        candidates: the nearest speakers, nearest first.
        code: why the answer is INCONCLUSIVE: OTHER_BAND, or a code of UnfitRecording; otherwise empty.
        reason: the same reason in words.
        quality: the recording's measured quality; None: it could not be read, or only its embedding was given.
        llr: natural logarithm of the likelihood ratio of the nearest speaker against one other person, see `compare`;
            it does not account for the number of speakers searched. None: the model has no calibration, or a quality is
            unknown.
    """

    answer: str
    name: Optional[str]
    score: Optional[float]
    threshold: NameThreshold
    candidates: tuple[Match, ...] = ()
    code: str = ""
    reason: str = ""
    quality: Optional[Quality] = None
    llr: Optional[float] = None


@dataclass(frozen=True)
class Candidates:
    """The speakers that an answer may name, and how sure it must be.

    Args:
        among: only speakers with these names; None: all.
        group: only speakers of this group; None: all.
        target_rate: share of strangers that may be given a name, between 0 and 1.
        threshold: cosine from which a name is given; None: it is computed from `target_rate`.
        num_shown: most candidates in the answer.

    Raises:
        UsageError: a value is out of range.
    """

    among: Optional[Collection[str]] = None
    group: Optional[str] = None
    target_rate: float = TARGET_RATE
    threshold: Optional[float] = None
    num_shown: int = NUM_CANDIDATES

    def __post_init__(self) -> None:
        if not 0 < self.target_rate < 1:
            raise UsageError(f"target_rate: expected a share between 0 and 1, got {self.target_rate:g}.")
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise UsageError(f"threshold: expected a cosine from -1 to 1, got {self.threshold:g}.")
        if self.num_shown < 1:
            raise UsageError(f"num_shown: expected at least 1 candidate, got {self.num_shown}.")


def identify(
    store: SpeakerStore,
    listener: Listener,
    recording: Source,
    candidates: Candidates = Candidates(),
    sample_rate: Optional[int] = None,
    channel: Optional[int] = None,
) -> Identification:
    """Identify which enrolled speaker speaks in a recording.

    Args:
        store: the enrolled speakers.
        listener: the model of the store, and the limits.
        recording, sample_rate, channel: see `examine`.
        candidates: the speakers that the answer may name.

    Raises:
        UsageError: no threshold can be computed, see `name_threshold`.
        InputError: see `Listener.hear`. A recording that cannot be used is not an error: the answer is INCONCLUSIVE.
    """
    naming = naming_of(store, listener.embedder, candidates)
    try:
        heard = listener.hear(recording, sample_rate, channel)
    except UnfitRecording as error:
        return answer_for_unfit(error, naming.threshold)
    return identify_embeddings(store, heard.embedding[None], candidates, naming, [heard.quality])[0]


def answer_for_unfit(error: UnfitRecording, threshold: NameThreshold) -> Identification:
    """Return the answer for a recording that cannot be used."""
    return Identification(
        *(INCONCLUSIVE, None, None, threshold), code=error.code, reason=error.reason, quality=error.quality
    )


def identify_embeddings(
    store: SpeakerStore,
    embeddings: np.ndarray,
    candidates: Candidates,
    naming: Naming,
    qualities: Sequence[Optional[Quality]],
) -> list[Identification]:
    """Identify the speaker of each embedding (Q, D).

    Args:
        candidates: the speakers that an answer may name.
        naming: see `naming_of`.
        qualities: the quality of each recording, Q; for an unknown one (None) the band is not checked, and the answer
            has no ratio.

    Raises:
        ValueError: see `SpeakerStore.search`.
    """
    found = store.search(embeddings, candidates.num_shown, candidates.among, candidates.group)
    return [
        _judge(store, embedding, tuple(matches), naming, quality)
        for embedding, matches, quality in zip(embeddings, found, qualities, strict=True)
    ]


def identification_facts(name: str, found: Identification) -> dict[str, Any]:
    """Return everything about the answer for a recording with this name, for JSON."""
    return {"recording": name, **asdict(found), "candidates": [match._asdict() for match in found.candidates]}


def _judge(
    store: SpeakerStore,
    embedding: np.ndarray,
    matches: tuple[Match, ...],
    naming: Naming,
    quality: Optional[Quality],
) -> Identification:
    threshold, calibration = naming.threshold, naming.calibration
    score = matches[0].score if matches else None
    llr, reason = None, ""
    if calibration is not None and quality is not None:
        reason = calibration.why_silent([quality])
        if matches and not reason:
            llr, reason = _ratio(store, embedding, matches[0].name, calibration, quality)
    if reason:
        return Identification(INCONCLUSIVE, None, score, threshold, matches, OTHER_BAND, reason, quality)
    is_known = score is not None and score >= threshold.value
    answer, name = (IDENTIFIED, matches[0].name) if is_known else (UNKNOWN, None)
    return Identification(answer, name, score, threshold, matches, quality=quality, llr=llr)


def _ratio(
    store: SpeakerStore, embedding: np.ndarray, name: str, calibration: PairCalibration, quality: Quality
) -> tuple[Optional[float], str]:
    """Return the log-likelihood ratio with an enrolled speaker, and the calibration's reason if it gives none."""
    try:
        samples = store.get(name).samples
    except NoSuchSpeaker:  # renamed or deleted meanwhile
        return None, ""
    found = compare(calibration, embedding, quality, samples)
    if found is None:
        return None, ""
    reason = found.verdict.reason if found.verdict.llr is None else ""
    return found.verdict.llr, f"{name}: {reason}" if reason else ""


def naming_of(store: SpeakerStore, embedder: Embedder, candidates: Candidates = Candidates()) -> Naming:
    """Return when a name is given; see `name_threshold` for the errors.

    Args:
        embedder: the store's model.
    """
    threshold = name_threshold(store, embedder.model_file, candidates)
    return Naming(threshold, PairCalibration.of_model(embedder) if candidates.threshold is None else None)


def name_threshold(store: SpeakerStore, model_file: Path, candidates: Candidates = Candidates()) -> NameThreshold:
    """Return the score from which a name is given.

    If the user does not give it, it is the largest of these:

    - the model's own threshold for the same person in a comparison of two recordings;
    - the score that a share `target_rate` of strangers reaches with at least one candidate, computed from the model's
      background;
    - the same score computed from the cosines between the enrolled speakers, if there are LEAST_POPULATION. It is
      stricter if a common language or device makes the enrolled speakers alike.

    Args:
        model_file: the file of the store's model.

    Raises:
        UsageError: the model has neither thresholds nor a background, and too few speakers are enrolled.
    """
    num_speakers = _num_candidates(store, candidates)
    if candidates.threshold is not None:
        return NameThreshold(candidates.threshold, "given", num_speakers, None)
    found = []
    model = Thresholds.of_model(model_file)
    if model is not None:
        found.append((model.accept, f"{model.source}: the same person in a comparison of two recordings"))
    for background in (background_of(model_file), _population(store)):
        if background is not None:
            value = background.threshold(max(num_speakers, 1), candidates.target_rate)
            found.append((min(value, 1.0), background.source))
    if not found:
        raise UsageError(
            f"{model_file}: this model has no threshold, and fewer than {LEAST_POPULATION} speakers are enrolled to "
            "compute one. Give --threshold; `mindvox eval` prints the one of equal error rates."
        )
    value, origin = max(found)
    return NameThreshold(value, origin, num_speakers, candidates.target_rate)


def _num_candidates(store: SpeakerStore, candidates: Candidates) -> int:
    if candidates.among is not None:
        return len(set(candidates.among))
    return store.count(candidates.group)


def _population(store: SpeakerStore) -> Optional[Background]:
    """Return the background of the enrolled speakers among each other; None: there are too few speakers."""
    if store.count() < LEAST_POPULATION:
        return None
    centroids = store.centroids(MOST_POPULATION)
    cosines = (centroids @ centroids.T)[np.triu_indices(len(centroids), 1)]
    return fit_background(cosines, f"the cosines between {len(centroids)} enrolled speakers")
