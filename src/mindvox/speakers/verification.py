"""Verify that a recording is of an enrolled speaker: apply the rule of `verify` to each enrolled recording."""

from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np

from mindvox.decisions import Decision, Examined, cosine, no_decision
from mindvox.pair_calibration import PairCalibration
from mindvox.rules import INCONCLUSIVE, Rule, Verdict
from mindvox.speakers.store import Sample, Speaker
from mindvox.speech.quality import Quality


class Compared(NamedTuple):
    """The result of comparing a recording with enrolled ones: the mean cosine, and the calibration's verdict."""

    score: float
    verdict: Verdict


def compare(
    calibration: PairCalibration, embedding: np.ndarray, quality: Quality, samples: Sequence[Sample]
) -> Optional[Compared]:
    """Compare a recording with a speaker's enrolled recordings of known quality.

    Args:
        embedding: the recording's embedding, (D,).
        quality: the recording's quality.
        samples: the speaker's samples.

    Returns:
        None if no enrolled recording has a known quality, as for speakers whom an earlier version enrolled.
    """
    known = [(sample.embedding, sample.quality) for sample in samples if sample.quality is not None]
    if not known:
        return None
    scores = [cosine(embedding, enrolled) for enrolled, _ in known]
    return Compared(float(np.mean(scores)), calibration.judge_speaker(scores, quality, [one for _, one in known]))


def verify_speaker(rule: Rule, cosines: Rule, side: Examined, speaker: Speaker) -> Decision:
    """Decide whether a recording is of an enrolled speaker.

    Args:
        rule: the rule for two recordings. A calibration uses the enrolled recordings of known quality.
        cosines: judges the cosine with the speaker's centroid if no quality is known or `rule` is not a calibration.
            In that case only the recording's own band is checked, and there is no ratio.
        side: the examined recording.

    Returns:
        The decision; its `recordings` are the recording and the speaker, for whom only the name is set.
    """
    both = (side, Examined(speaker.name, None, None, None))
    if side.problem is not None:
        return no_decision(rule, both, side)
    assert side.embedding is not None
    if isinstance(rule, PairCalibration) and side.quality is not None:
        found = compare(rule, side.embedding, side.quality, speaker.samples)
        if found is not None:
            answer, llr, reason = found.verdict
            return Decision(answer, found.score, llr, rule.thresholds, both, reason)
    score = cosine(side.embedding, speaker.centroid)
    if reason := rule.why_silent([side.quality]):
        return Decision(INCONCLUSIVE, score, None, rule.thresholds, both, reason)
    answer, llr, reason = cosines.judge(score, ())
    return Decision(answer, score, llr, cosines.thresholds, both, reason)
