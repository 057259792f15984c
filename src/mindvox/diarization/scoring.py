"""Compute error rates of diarization with pyannote.metrics: DER and its parts, JER, and errors in speaker counts.

- Diarization error rate (DER): missed speech, false alarm and confusion of speakers, as a share of the reference's
  speech. Each of several overlapping speakers counts. Speakers are mapped one to one with the least confused time.
- Jaccard error rate (JER; Ryant et al. 2019, second DIHARD evaluation plan): 1 - Jaccard index of a reference speaker's
  time and that of the speaker it is mapped to, averaged over reference speakers.

Collars are given per side of a boundary, as in md-eval. pyannote.metrics takes the whole width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Optional

from mindvox.diarization.turns import Turn, joined, speakers_of
from mindvox.errors import InputError

if TYPE_CHECKING:
    from pyannote.core import Annotation, Timeline

INSTALL = "pip install -e '.[diarization]'"
Parts = Sequence[tuple[float, float]]
"""The scored parts of a recording, (start, end) in seconds."""


@dataclass(frozen=True)
class Measure:
    """What is scored.

    Args:
        collar_s: unscored time in s on each side of every boundary of the reference's turns.
        skip_overlap: whether time in which more than one reference speaker talks is left unscored.
    """

    collar_s: float = 0.0
    skip_overlap: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.collar_s < 60:
            raise ValueError(f"`collar_s` must be from 0 to 60 s, got {self.collar_s}.")

    def __str__(self) -> str:
        collar = f"collar of {self.collar_s:g} s on each side" if self.collar_s else "no collar"
        return f"{collar}, overlap {'not scored' if self.skip_overlap else 'scored'}"


@dataclass(frozen=True)
class Errors:
    """Errors of one recording, or the sums over several.

    Attributes:
        speech_s: scored speech of the reference in s; each of several overlapping speakers counts.
        missed_s, false_alarm_s, confusion_s: time of each kind of error in s.
        jaccard_sum: sum of the Jaccard errors of the reference's speakers, each 0 to 1.
        num_jaccard: number of reference speakers in the scored parts.
        num_speakers: number of speakers in the reference.
        num_found: number of speakers in the hypothesis.
        count_error: absolute error of the number of speakers.
        num_recordings: number of recordings.
        num_right_counts: number of recordings with the right number of speakers.
    """

    speech_s: float = 0.0
    missed_s: float = 0.0
    false_alarm_s: float = 0.0
    confusion_s: float = 0.0
    jaccard_sum: float = 0.0
    num_jaccard: int = 0
    num_speakers: int = 0
    num_found: int = 0
    count_error: int = 0
    num_recordings: int = 0
    num_right_counts: int = 0

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(**{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)})

    @property
    def der(self) -> Optional[float]:
        """Diarization error rate; None without reference speech, because the rate is a share of it."""
        return (self.missed_s + self.false_alarm_s + self.confusion_s) / self.speech_s if self.speech_s else None

    @property
    def jer(self) -> Optional[float]:
        """Jaccard error rate, 0 to 1; None without reference speech."""
        return self.jaccard_sum / self.num_jaccard if self.num_jaccard else None


def score(
    reference: Sequence[Turn],
    hypothesis: Sequence[Turn],
    measure: Optional[Measure] = None,
    parts: Optional[Parts] = None,
) -> Errors:
    """Return the errors of one recording.

    Args:
        reference, hypothesis: the turns. How a speaker's time is divided into turns does not matter.
        measure: what is scored; None: everything, without a collar.
        parts: the scored parts; None: from the first to the last turn of both.

    Raises:
        InputError: pyannote.metrics is not installed.
    """
    measure = measure or Measure()
    diarization, core = _metrics()
    reference, hypothesis = joined(reference), joined(hypothesis)
    speakers, found = speakers_of(reference), speakers_of(hypothesis)
    counts = {
        "num_speakers": len(speakers),
        "num_found": len(found),
        "count_error": abs(len(speakers) - len(found)),
        "num_recordings": 1,
        "num_right_counts": int(len(speakers) == len(found)),
    }
    if parts is None:
        turns = [*reference, *hypothesis]
        parts = [(min(turn.start_s for turn in turns), max(turn.end_s for turn in turns))] if turns else []
    if not parts:
        return Errors(**counts)
    options = {"collar": 2 * measure.collar_s, "skip_overlap": measure.skip_overlap}
    timed = (
        _annotation(core, reference),
        _annotation(core, hypothesis),
        core.Timeline([core.Segment(*part) for part in parts]).support(),
    )
    errors = _components(diarization.DiarizationErrorRate(**options), *timed)
    jaccard = _components(diarization.JaccardErrorRate(**options), *timed)
    return Errors(
        speech_s=errors["total"],
        missed_s=errors["missed detection"],
        false_alarm_s=errors["false alarm"],
        confusion_s=errors["confusion"],
        jaccard_sum=jaccard["speaker error"],
        num_jaccard=round(jaccard["speaker count"]),
        **counts,
    )


def score_all(
    reference: Mapping[str, Sequence[Turn]],
    hypothesis: Mapping[str, Sequence[Turn]],
    measure: Optional[Measure] = None,
    parts: Optional[Mapping[str, Parts]] = None,
) -> dict[str, Errors]:
    """Return the errors of recordings by name, in the order of their names.

    All speech of a recording without a hypothesis counts as missed: systems write nothing if they hear nobody. With
    `parts`, only the recordings named there are scored. If one of these has no reference, it has no speech, and all
    turns of the hypothesis are false alarms.

    Raises:
        InputError: no recording is in both; the hypothesis has recordings that neither the reference nor `parts` has;
            pyannote.metrics is not installed.
    """
    scored = sorted(reference if parts is None else parts)
    unknown = sorted(set(hypothesis) - set(reference) - set(parts or ()))
    if unknown:
        raise InputError(
            f"the hypothesis has {', '.join(unknown[:3])}{', ...' if len(unknown) > 3 else ''}, the reference does "
            "not. Name recordings without speech in a UEM file (--uem)."
        )
    if hypothesis and not set(scored) & set(hypothesis):
        raise InputError(f"no recording is in both: the reference has {scored[0]}, the hypothesis {min(hypothesis)}.")
    return {
        name: score(reference.get(name, ()), hypothesis.get(name, ()), measure, parts[name] if parts else None)
        for name in scored
    }


def total(errors: Mapping[str, Errors]) -> Errors:
    """Return the sums over recordings; rates computed from them weigh every second of speech equally."""
    return sum(errors.values(), Errors())


def _metrics() -> tuple[Any, Any]:
    """Import pyannote.metrics; the import takes two seconds."""
    try:
        import pyannote.core as core
        from pyannote.metrics import diarization
    except ImportError:
        raise InputError(f"scoring of diarization needs pyannote.metrics: {INSTALL}") from None
    return diarization, core


def _annotation(core: Any, turns: Sequence[Turn]) -> "Annotation":
    annotation = core.Annotation()
    for track, turn in enumerate(turns):
        annotation[core.Segment(turn.start_s, turn.end_s), track] = turn.speaker
    return annotation


def _components(metric: Any, reference: "Annotation", hypothesis: "Annotation", uem: "Timeline") -> dict[str, float]:
    return metric.compute_components(reference, hypothesis, uem=uem)
