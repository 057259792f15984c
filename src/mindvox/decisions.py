"""Are two recordings of the same person? What is known of each, a score, and the answer with the rule that gave it."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Optional

import numpy as np

from mindvox.corpus.audio import audio_of_array
from mindvox.embedder import AN_ARRAY, Embedder, Recording, UnreadRecording, UnusableRecording
from mindvox.errors import UsageError
from mindvox.pair_calibration import PairCalibration
from mindvox.rules import INCONCLUSIVE, Rule, Thresholds
from mindvox.speech.detector import SAMPLE_RATE, SpeechDetector
from mindvox.speech.quality import DEFAULT_LIMITS, Limits, Problem, Quality, measure, problem

UNUSABLE = "unusable"  # code of a recording that cannot be read or embedded, beside those of speech.quality


@dataclass(frozen=True)
class Examined:
    """One recording, looked at and embedded.

    Attributes:
        name: what messages call it.
        embedding: (D,); None: there is a problem.
        quality: None: it was not measured.
        problem: why it is not compared; None: it can be.
    """

    name: str
    embedding: Optional[np.ndarray]
    quality: Optional[Quality]
    problem: Optional[Problem]


@dataclass(frozen=True)
class Decision:
    """The answer for two recordings.

    Attributes:
        answer: ACCEPT, REJECT or INCONCLUSIVE.
        score: cosine of the embeddings, from -1 to 1; None: a recording cannot be used.
        llr: see Verdict.
        thresholds: what decided.
        recordings: what is known of both.
        reason: why there is no answer; empty when there is one.
    """

    answer: str
    score: Optional[float]
    llr: Optional[float]
    thresholds: Thresholds
    recordings: tuple[Examined, Examined]
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


def examine(
    embedder: Embedder,
    recording: Recording,
    detector: Optional[SpeechDetector] = None,
    limits: Limits = DEFAULT_LIMITS,
    sample_rate: Optional[int] = None,
    channel: Optional[int] = None,
    name: Optional[str] = None,
) -> Examined:
    """Read a recording once, measure its quality, and embed it when that is good enough.

    Args:
        embedder: the model.
        recording, sample_rate, channel: see `Embedder.embed`.
        detector: finds speech; None: the quality is not measured.
        limits: of the quality.
        name: what messages call it; None: its path, or "the array".

    Raises:
        UnreadRecording: the package that reads it is not installed, which says nothing about the recording.
        InputError, ValueError: see `Embedder.embed`. A recording that cannot be used is no error but a problem.
    """
    if name is None:
        name = AN_ARRAY if isinstance(recording, np.ndarray) else str(recording)
    quality = None
    try:
        waveform = embedder.read(recording, sample_rate, channel)
        if detector is not None:
            rate = embedder.front_end.sample_rate
            heard = waveform if rate == SAMPLE_RATE else audio_of_array(waveform, rate, SAMPLE_RATE).waveform
            looks_for_others = limits.min_voice_agreement > -1  # which doubles the work
            embed = (lambda part: embedder.embed(part, SAMPLE_RATE)) if looks_for_others else None
            quality = measure(heard, detector, embed)
            found = problem(quality, limits)
            if found is not None:
                return Examined(name, None, quality, found)
        return Examined(name, embedder.embed(waveform), quality, None)
    except UnreadRecording:
        raise
    except UnusableRecording as error:
        return Examined(name, None, quality, Problem(UNUSABLE, error.reason))


def verify(
    embedder: Embedder,
    first: Recording,
    second: Recording,
    rule: Optional[Rule] = None,
    detector: Optional[SpeechDetector] = None,
    limits: Limits = DEFAULT_LIMITS,
    sample_rate: Optional[int] = None,
    channel: Optional[int] = None,
) -> Decision:
    """Decide whether two recordings are of the same person.

    Args:
        embedder: the model.
        first, second, sample_rate, channel: see `Embedder.embed`.
        rule: None: `rule_of` the model.
        detector, limits: see `examine`. Without a detector, silence and noise are compared like speech.

    Raises:
        UsageError: the model has no rule of its own, and none is given.
        UnreadRecording, InputError, ValueError: see `examine`.
    """
    rule = rule or rule_of(embedder, has_quality=detector is not None)
    both = (
        examine(embedder, first, detector, limits, sample_rate, channel),
        examine(embedder, second, detector, limits, sample_rate, channel),
    )
    return decide(rule, *both)


def decide(rule: Rule, first: Examined, second: Examined) -> Decision:
    """Return the answer for two recordings that were examined."""
    for side in (first, second):
        if side.problem is not None:
            return no_decision(rule, (first, second), side)
    assert first.embedding is not None and second.embedding is not None
    score = cosine(first.embedding, second.embedding)
    verdict = rule.judge(score, (first.quality, second.quality))
    return Decision(verdict.answer, score, verdict.llr, rule.thresholds, (first, second), verdict.reason)


def no_decision(rule: Rule, both: tuple[Examined, Examined], unfit: Examined) -> Decision:
    """Return the answer where one of two recordings cannot be used."""
    assert unfit.problem is not None
    return Decision(INCONCLUSIVE, None, None, rule.thresholds, both, f"{unfit.name}: {unfit.problem.text}".rstrip("."))


def decision_facts(decision: Decision) -> dict[str, Any]:
    """Return everything about a decision but the embeddings, for JSON."""
    return {
        "answer": decision.answer,
        "score": decision.score,
        "llr": decision.llr,
        "thresholds": asdict(decision.thresholds),
        "reason": decision.reason,
        "recordings": [examined_facts(side) for side in decision.recordings],
    }


def examined_facts(examined: Examined) -> dict[str, Any]:
    """Return what is known of a recording but the embedding, for JSON."""
    return {
        "name": examined.name,
        "problem": asdict(examined.problem) if examined.problem else None,
        "quality": asdict(examined.quality) if examined.quality else None,
    }


def rule_of(embedder: Embedder, has_quality: bool = True) -> Rule:
    """Return a model's own rule: its calibration, else the cosines of its card.

    Args:
        embedder: the model.
        has_quality: the recordings' quality is measured, which a calibration needs.

    Raises:
        UsageError: there is none.
        InputError: a card or calibration is damaged.
    """
    calibration = PairCalibration.of_model(embedder) if has_quality else None
    found = calibration or Thresholds.of_model(embedder.model_file)
    if found is None:
        raise UsageError(
            f"{embedder.model_file}: this model has no threshold of its own. Fit a calibration "
            "(mindvox calibrate pairs) and give it (--calibration), or give a cosine (--threshold)."
        )
    return found
