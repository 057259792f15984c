"""Results in the form of other toolkits, so that their users and scripts find the lines that they expect."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

import numpy as np

from mindvox.scoring import metrics
from mindvox.scoring.metrics import OperatingPoints, Threshold


class Scored(NamedTuple):
    """A scored trial list.

    Attributes:
        scores, is_target: see `metrics.operating_points`.
        elapsed_s: duration of embedding and scoring, s.
    """

    scores: np.ndarray
    is_target: np.ndarray
    elapsed_s: float

    @property
    def points(self) -> OperatingPoints:
        """Return the errors at every threshold."""
        return metrics.operating_points(self.scores, self.is_target)


def threshold_mvector(scores: np.ndarray, is_target: np.ndarray) -> Threshold:
    """Return the threshold of mvector's compute_eer (1.1.7), and the rates when scores above it are accepted.

    It is the lowest score for which, when it and all lower scores are rejected, the miss rate is at least the
    false-alarm rate. mvector rejects equal scores one by one, in the order of the list; here they are rejected
    together.

    Args and Raises: see `metrics.operating_points`.
    """
    points = metrics.operating_points(scores, is_target)
    miss = points.num_misses / points.num_misses[0]
    false_alarm = points.num_false_alarms / points.num_false_alarms[-1]
    last = int(np.flatnonzero(miss >= false_alarm)[-1])
    # Point `last` accepts this many distinct scores; the next lower one is the highest that is rejected.
    highest_rejected = np.unique(np.asarray(scores, dtype=np.float64))[::-1][last]
    return Threshold(float(highest_rejected), float(miss[last]), float(false_alarm[last]))


def _mvector(scored: Scored) -> str:
    """Return the line of mvector's eval.py: EER as a fraction, minDCF at p = 0.01."""
    threshold = threshold_mvector(scored.scores, scored.is_target).threshold
    eer, cost = metrics.eer_of(scored.points).eer, metrics.min_dcf_of(scored.points, 0.01)
    return f"评估消耗时间：{int(scored.elapsed_s)}s，threshold：{threshold:.2f}，EER: {eer:.5f}, MinDCF: {cost:.5f}"


def _voxceleb_trainer(scored: Scored) -> str:
    """Return the line of trainSpeakerNet.py --eval: its own EER in per cent, minDCF at p = 0.05."""
    eer, cost = metrics.eer_voxceleb_trainer(scored.points), metrics.min_dcf_of(scored.points, 0.05)
    return f"{datetime.now():%Y-%m-%d %H:%M:%S} VEER {100 * eer:2.4f} MinDCF {cost:2.5f}"


def _rawnet2(scored: Scored) -> str:
    """Return what RawNet2's train_RawNet2.py writes into eers.txt behind the epoch: EER as a fraction."""
    return f"TA_eval_eer:{metrics.eer_of(scored.points).eer:.4f}"


def _wespeaker(scored: Scored) -> str:
    """Return the lines of wespeaker's compute_metrics.py: EER in per cent, minDCF at p = 0.01."""
    eer, cost = metrics.eer_of(scored.points).eer, metrics.min_dcf_of(scored.points, 0.01)
    return f"EER = {100 * eer:.3f}\nminDCF (p_target:0.01 c_miss:1 c_fa:1) = {cost:.3f}"


def _speechbrain(scored: Scored) -> str:
    """Return the lines of SpeechBrain's speaker_verification_cosine.py: its own EER in per cent; minDCF at p = 0.01,
    which it does not divide by 0.01 but multiplies by 100.
    """
    eer, cost = metrics.eer_speechbrain(scored.points), metrics.min_dcf_of(scored.points, 0.01)
    return f"EER(%)={100 * eer:f}\nminDCF={cost:f}"


def _plain(scores: Mapping[str, np.ndarray], score_norm: str) -> list[str]:
    """Select the plain cosines or distances."""
    return ["baseline"]


def _centred(scores: Mapping[str, np.ndarray], score_norm: str) -> list[str]:
    """Select wespeaker's two: after mean subtraction, and normalised; without a cohort the plain scores."""
    return [name for name in ("sub mean", score_norm) if name in scores] or ["baseline"]


def _normalised(scores: Mapping[str, np.ndarray], score_norm: str) -> list[str]:
    """Select the normalised scores if there are any."""
    return [score_norm if score_norm in scores else "baseline"]


class Peer(NamedTuple):
    """The format of another toolkit, and the kinds of score that it prints."""

    lines: Callable[[Scored], str]
    kinds: Callable[[Mapping[str, np.ndarray], str], list[str]]


PEERS = {
    "mvector": Peer(_mvector, _plain),
    "rawnet2": Peer(_rawnet2, _plain),
    "speechbrain": Peer(_speechbrain, _normalised),
    "voxceleb_trainer": Peer(_voxceleb_trainer, _plain),
    "wespeaker": Peer(_wespeaker, _centred),
}


def peer_lines(
    name: str, scores: Mapping[str, np.ndarray], score_norm: str, is_target: np.ndarray, elapsed_s: float
) -> list[str]:
    """Return the lines of another toolkit for these scores; several kinds are printed under their names.

    Args:
        name: key of PEERS.
        scores: by kind: "baseline", "sub mean", and the norm's name.
        score_norm: the norm that was asked for.
        is_target, elapsed_s: see `Scored`.
    """
    peer = PEERS[name]
    kinds = peer.kinds(scores, score_norm)
    titles = [[f"---- {kind} -----"] if len(kinds) > 1 else [] for kind in kinds]
    found = [peer.lines(Scored(scores[kind], is_target, elapsed_s)) for kind in kinds]
    return [line for title, text in zip(titles, found, strict=True) for line in (*title, *text.split("\n"))]
