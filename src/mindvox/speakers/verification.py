"""Is a recording of an enrolled speaker? The rule of `verify`, with each of the speaker's enrolled recordings."""

from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np

from mindvox.decisions import Decision, Examined, cosine, no_decision
from mindvox.pair_calibration import PairCalibration
from mindvox.rules import INCONCLUSIVE, Rule, Verdict
from mindvox.speakers.store import Sample, Speaker
from mindvox.speech.quality import Quality


class Compared(NamedTuple):
    """A recording, compared with enrolled ones: the mean of the cosines, and what a calibration says."""

    score: float
    verdict: Verdict


def compare(
    calibration: PairCalibration, embedding: np.ndarray, quality: Quality, samples: Sequence[Sample]
) -> Optional[Compared]:
    """Compare a recording with those of a speaker's enrolled recordings whose quality is known.

    Args:
        embedding, quality: of the recording, (D,).
        samples: of the speaker.

    Returns:
        None: the quality of no enrolled recording is known, as of speakers whom an earlier version enrolled.
    """
    known = [(sample.embedding, sample.quality) for sample in samples if sample.quality is not None]
    if not known:
        return None
    scores = [cosine(embedding, enrolled) for enrolled, _ in known]
    return Compared(float(np.mean(scores)), calibration.judge_speaker(scores, quality, [one for _, one in known]))


def verify_speaker(rule: Rule, cosines: Rule, side: Examined, speaker: Speaker) -> Decision:
    """Decide whether a recording is of an enrolled speaker.

    Args:
        rule: of two recordings. A calibration judges by the enrolled recordings whose quality is known.
        cosines: judges the cosine with the speaker's centroid where no quality is known, or `rule` is no calibration.
            Of bands only the recording's own is known then, and there is no ratio.
        side: the recording, examined.

    Returns:
        Its `recordings` are the recording and the speaker, of whom only the name is given.
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
