"""Decide whether two recordings are of the same person: their quality, a score, and the answer with its reasons."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Optional, Union

import numpy as np

from mindvox.corpus.audio import audio_of_array
from mindvox.embedder import AN_ARRAY, Embedder, Recording, UnreadRecording, UnusableRecording
from mindvox.errors import UsageError
from mindvox.pair_calibration import PairCalibration
from mindvox.rules import INCONCLUSIVE, Rule, Thresholds
from mindvox.speech.detector import SAMPLE_RATE, SpeechDetector
from mindvox.speech.microphone import Microphone
from mindvox.speech.quality import DEFAULT_LIMITS, Limits, Problem, Quality, measure, problem

# Codes of problems; see also those of speech.quality.
UNUSABLE = "unusable"  # the recording cannot be read or embedded
NOT_RECORDED = "not_recorded"  # the first recording cannot be used, so the microphone did not record the second

Source = Union[Recording, Microphone]
"""A recording, or the microphone that makes it when it is needed."""


@dataclass(frozen=True)
class Examined:
    """One recording after examination: its embedding and quality, or the reason why it cannot be used.

    Attributes:
        name: the recording's name in messages.
        embedding: (D,), float32; None: there is a problem.
        quality: None: it was not measured.
        problem: why the recording cannot be compared; None: it can.
    """

    name: str
    embedding: Optional[np.ndarray]
    quality: Optional[Quality]
    problem: Optional[Problem]


@dataclass(frozen=True)
class Decision:
    """The answer to whether two recordings are of the same person.

    Attributes:
        answer: ACCEPT, REJECT or INCONCLUSIVE.
        score: cosine of the embeddings, from -1 to 1; None: a recording cannot be used.
        llr: see Verdict.
        thresholds: the thresholds that decided.
        recordings: both recordings after examination.
        reason: why the answer is INCONCLUSIVE; otherwise empty.
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
        raise ValueError(f"expected two embeddings (D,) of equal size, got {first.shape} and {second.shape}.")
    length = np.linalg.norm(first) * np.linalg.norm(second)
    if not 0 < length < math.inf:
        raise ValueError("expected embeddings that are finite and not zero.")
    return float(np.clip(first @ second / length, -1, 1))


def examine(
    embedder: Embedder,
    recording: Source,
    detector: Optional[SpeechDetector] = None,
    limits: Limits = DEFAULT_LIMITS,
    sample_rate: Optional[int] = None,
    channel: Optional[int] = None,
    name: Optional[str] = None,
) -> Examined:
    """Read a recording once, measure its quality, and embed it if the quality suffices.

    Args:
        embedder: the model.
        recording, sample_rate, channel: see `Embedder.embed`; a microphone has its own rate and one channel.
        detector: finds speech; None: do not measure the quality.
        limits: required quality.
        name: name in messages; None: the path, "the array" or "the microphone".

    Raises:
        UnreadRecording: the package that reads this format is not installed; the recording itself may be fine.
        InputError, ValueError: see `Embedder.embed` and `Microphone.record`. An unusable recording raises nothing; the
            result has a problem.
    """
    if name is None:
        name = AN_ARRAY if isinstance(recording, np.ndarray) else str(recording)
    if isinstance(recording, Microphone):
        sample_rate, channel = recording.sample_rate, None
        recording = recording.record()
    quality = None
    try:
        waveform = embedder.read(recording, sample_rate, channel)
        if detector is not None:
            rate = embedder.front_end.sample_rate
            heard = waveform if rate == SAMPLE_RATE else audio_of_array(waveform, rate, SAMPLE_RATE).waveform
            looks_for_others = limits.min_voice_agreement > -1  # doubles the work
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
    first: Source,
    second: Source,
    rule: Optional[Rule] = None,
    detector: Optional[SpeechDetector] = None,
    limits: Limits = DEFAULT_LIMITS,
    sample_rate: Optional[int] = None,
    channel: Optional[int] = None,
) -> Decision:
    """Decide whether two recordings are of the same person.

    Args:
        embedder: the model.
        first, second, sample_rate, channel: see `examine`. A microphone as the second records only if the first can
            be used.
        rule: turns the score into an answer; None: the model's own, see `rule_of`.
        detector, limits: see `examine`. Without a detector, silence and noise are compared as if they were speech.

    Raises:
        UsageError: no rule is given and the model has none.
        UnreadRecording, InputError, ValueError: see `examine`.
    """
    rule = rule or rule_of(embedder, has_quality=detector is not None)
    one = examine(embedder, first, detector, limits, sample_rate, channel)
    if one.problem is not None and isinstance(second, Microphone):
        other = Examined(str(second), None, None, Problem(NOT_RECORDED, "was not recorded"))
    else:
        other = examine(embedder, second, detector, limits, sample_rate, channel)
    return decide(rule, one, other)


def decide(rule: Rule, first: Examined, second: Examined) -> Decision:
    """Return the answer for two examined recordings."""
    for side in (first, second):
        if side.problem is not None:
            return no_decision(rule, (first, second), side)
    assert first.embedding is not None and second.embedding is not None
    score = cosine(first.embedding, second.embedding)
    verdict = rule.judge(score, (first.quality, second.quality))
    return Decision(verdict.answer, score, verdict.llr, rule.thresholds, (first, second), verdict.reason)


def no_decision(rule: Rule, both: tuple[Examined, Examined], unfit: Examined) -> Decision:
    """Return the answer if one of two recordings cannot be used."""
    assert unfit.problem is not None
    return Decision(INCONCLUSIVE, None, None, rule.thresholds, both, f"{unfit.name}: {unfit.problem.text}".rstrip("."))


def decision_facts(decision: Decision) -> dict[str, Any]:
    """Return everything about a decision except the embeddings, for JSON."""
    return {
        "answer": decision.answer,
        "score": decision.score,
        "llr": decision.llr,
        "thresholds": asdict(decision.thresholds),
        "reason": decision.reason,
        "recordings": [examined_facts(side) for side in decision.recordings],
    }


def examined_facts(examined: Examined) -> dict[str, Any]:
    """Return everything known of a recording except the embedding, for JSON."""
    return {
        "name": examined.name,
        "problem": asdict(examined.problem) if examined.problem else None,
        "quality": asdict(examined.quality) if examined.quality else None,
    }


def rule_of(embedder: Embedder, has_quality: bool = True) -> Rule:
    """Return a model's own rule: its calibration or, without one, the thresholds of its card.

    Args:
        embedder: the model.
        has_quality: whether the recordings' quality is measured; a calibration requires it.

    Raises:
        UsageError: the model has neither.
        InputError: the card or the calibration is damaged.
    """
    calibration = PairCalibration.of_model(embedder) if has_quality else None
    found = calibration or Thresholds.of_model(embedder.model_file)
    if found is None:
        raise UsageError(
            f"{embedder.model_file}: this model has no threshold. Fit a calibration (mindvox calibrate pairs) and pass "
            "it (--calibration), or choose a cosine (--threshold)."
        )
    return found
