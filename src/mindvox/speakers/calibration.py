"""A user's own calibration for comparisons of two recordings, fitted on recordings of known people.

made = calibrate(listener, corpus_of("people"), "mine")
made.calibration.save("mine.json")
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

import numpy as np

from mindvox.corpus.layouts import Corpus
from mindvox.corpus.sources import NO_SPEAKER
from mindvox.corpus.tree import Recording
from mindvox.corpus.trials import Trial, read_numbered_trials
from mindvox.errors import InputError
from mindvox.files import PathLike
from mindvox.pair_calibration import INPUTS, PairCalibration, check_rates, fingerprint_of
from mindvox.pair_fit import (
    LEAST_SPEAKERS,
    RIDGE,
    SPEAKERS_FOR_QUALITY,
    Pairs,
    bands_of,
    cross_validate,
    draw_pairs,
    fit_pairs,
    rates_shown,
    speakers_needed,
)
from mindvox.progress import Progress, quantity
from mindvox.scoring.measures import measure_llr
from mindvox.speakers.batches import hear
from mindvox.speakers.enrolment import LeftOut, hear_all
from mindvox.speakers.listening import Listener


@dataclass(frozen=True)
class Rates:
    """The error rates that a calibration must keep to.

    Args:
        false_accepts, false_rejects, least_cosine: see PairCalibration.

    Raises:
        ValueError: a value is out of range.
    """

    false_accepts: float = PairCalibration.false_accepts
    false_rejects: float = PairCalibration.false_rejects
    least_cosine: Optional[float] = None

    def __post_init__(self) -> None:
        check_rates(self.false_accepts, self.false_rejects)
        if self.least_cosine is not None and not -1 <= self.least_cosine <= 1:
            raise ValueError(f"expected a cosine from -1 to 1, got {self.least_cosine:g}.")


@dataclass(frozen=True)
class OwnCalibration:
    """A fitted calibration and the recordings that the fit could not use.

    Attributes:
        calibration: the calibration; its `card` has the numbers: `fitted_on`, `held_out` (error rates of people whom
            the fit did not see) and `shows`.
        left_out: recordings that cannot be used.
    """

    calibration: PairCalibration
    left_out: list[LeftOut]


@dataclass(frozen=True)
class Trials:
    """A trial list over the recordings of a corpus.

    Attributes:
        path: the file.
        trials: the trials in it.
        line_nos: the line number of each trial.
    """

    path: PathLike
    trials: list[Trial]
    line_nos: list[int]

    @classmethod
    def read(cls, path: PathLike, trial_format: str, corpus: Corpus) -> "Trials":
        """Read a list; for the formats see `read_numbered_trials`.

        Raises:
            InputError: the list is damaged, has no labels, or names recordings that the corpus lacks.
        """
        known = [recording.utt_id for recording in corpus.recordings]
        line_nos, trials = read_numbered_trials(path, trial_format, known=known)
        found = set(known)
        for line_no, trial in zip(line_nos, trials, strict=True):
            if trial.is_target is None:
                raise InputError(f"{path}: a calibration needs the truth of each trial; this format has none.")
            for name in (trial.enrol, trial.test):
                if name not in found:
                    raise InputError(f"{path}:{line_no}: {name} is not a recording of {corpus.folder}.")
        return cls(path, trials, line_nos)

    def named(self, recordings: Sequence[Recording]) -> list[Recording]:
        """Return the recordings that the list names."""
        names = {name for trial in self.trials for name in (trial.enrol, trial.test)}
        return [recording for recording in recordings if recording.utt_id in names]

    def speakers(self) -> dict[str, str]:
        """Return a speaker for each recording; target trials, also in chains, put recordings under one speaker.

        Raises:
            InputError: a nontarget trial has two recordings that other trials put under one speaker.
        """
        parent: dict[str, str] = {}

        def first_of(name: str) -> str:
            while parent.setdefault(name, name) != name:
                parent[name] = name = parent[parent[name]]
            return name

        for trial in self.trials:
            one, other = first_of(trial.enrol), first_of(trial.test)
            if trial.is_target:
                parent[one] = other
        speakers = {name: first_of(name) for name in parent}
        self.check(speakers)
        return speakers

    def check(self, speakers: dict[str, str]) -> None:
        """Raise InputError if a trial's label contradicts the speakers of its recordings."""
        for line_no, trial in zip(self.line_nos, self.trials, strict=True):
            if trial.is_target != (speakers[trial.enrol] == speakers[trial.test]):
                said, known = ("one person", "two") if trial.is_target else ("two people", "one")
                raise InputError(
                    f"{self.path}:{line_no}: says that {trial.enrol} and {trial.test} are of {said}, but by their "
                    f"folders or other lines they are of {known}. Correct the list."
                )


def calibrate(
    listener: Listener,
    corpus: Corpus,
    name: str,
    trials: Optional[Trials] = None,
    rates: Rates = Rates(),
    channel: Optional[int] = None,
    progress: Optional[Progress] = None,
) -> OwnCalibration:
    """Fit a calibration on pairs of a corpus's recordings, and test it by cross-validation over speakers.

    With fewer than SPEAKERS_FOR_QUALITY speakers the ratio is computed from the cosine alone.

    Args:
        listener: the model and the limits; recordings outside the limits are left out, as `verify` refuses them.
        corpus: recordings and their speakers; if it has no speakers, they are derived from `trials`.
        name: the calibration's name in messages.
        trials: the pairs; None: all pairs, or a random part if there are many, see `draw_pairs`.
        rates: the error rates that the calibration must keep to.
        channel: see `Embedder.embed`.
        progress: counts the recordings.

    Raises:
        InputError: there are fewer than LEAST_SPEAKERS speakers with two usable recordings, or there are too few pairs.
    """
    recordings = corpus.recordings if trials is None else trials.named(corpus.recordings)
    by_name = {recording.utt_id: recording.spk_id for recording in recordings}
    if trials is not None:
        if NO_SPEAKER in by_name.values():
            by_name = trials.speakers()
        trials.check(by_name)
    heard, left_out = hear_all(recordings, lambda one: hear(listener, corpus.folder, one, channel), progress)
    row_of = {one.source: row for row, one in enumerate(heard)}
    _, speakers = np.unique([by_name[one.source] for one in heard], return_inverse=True)
    if trials is None:
        first, second = draw_pairs(speakers)
    else:
        sides = [(row_of.get(trial.enrol), row_of.get(trial.test)) for trial in trials.trials]
        usable = [pair for pair in sides if None not in pair and pair[0] != pair[1]]
        first, second = np.array(usable, dtype=int).reshape(-1, 2).T
    num_speakers = len(np.unique(speakers[first[speakers[first] == speakers[second]]]))
    _check_enough(corpus, num_speakers, len(left_out), rates)
    qualities = [one.quality for one in heard]
    pairs = Pairs.of(np.stack([one.embedding for one in heard]), qualities, speakers, first, second)
    names = INPUTS if num_speakers >= SPEAKERS_FOR_QUALITY else INPUTS[:1]
    llr = fit_pairs(pairs, names)
    made = PairCalibration(
        name,
        fingerprint_of(listener.embedder),
        llr,
        rates.least_cosine,
        "" if rates.least_cosine is None else "the least cosine was given to the fit",
        {},
        rates.false_accepts,
        rates.false_rejects,
        bands_of(qualities),
    )
    least = rates_shown(num_speakers)
    card = {
        "fitted_on": {
            "num_speakers": num_speakers,
            "num_recordings": len(heard),
            "num_left_out": len(left_out),
            "num_pairs": len(pairs.is_target),
            "num_targets": int(pairs.is_target.sum()),
            "ridge": RIDGE,
        },
        "held_out": _held_out(pairs, names, made),
        "shows": {"least_false_accepts": least[0], "least_false_rejects": least[1]},
        "needs": {"num_speakers": speakers_needed(rates.false_accepts, rates.false_rejects)},
        "made_by": "mindvox calibrate pairs",
    }
    return OwnCalibration(replace(made, card=card), left_out)


def _check_enough(corpus: Corpus, num_speakers: int, num_left_out: int, rates: Rates) -> None:
    """Raise InputError if there are too few speakers to fit a calibration."""
    if num_speakers >= LEAST_SPEAKERS:
        return
    needed = speakers_needed(rates.false_accepts, rates.false_rejects)
    left_out = f" {quantity(num_left_out, 'recording')} cannot be used." if num_left_out else ""
    raise InputError(
        f"{corpus.folder}: {quantity(num_speakers, 'speaker')} with a pair of usable recordings; at least "
        f"{LEAST_SPEAKERS} are needed to fit a calibration, {SPEAKERS_FOR_QUALITY} to weigh length and noise, {needed} "
        f"to show {rates.false_accepts:g} false accepts and {rates.false_rejects:g} false rejects.{left_out}"
    )


def _held_out(pairs: Pairs, names: Sequence[str], made: PairCalibration) -> dict[str, Any]:
    """Return cross-validated error rates at the thresholds of `made`: no fit saw the speakers it is tested on."""
    ratios, tested = cross_validate(pairs, names)
    thresholds = made.thresholds
    is_accepted = ratios >= thresholds.accept
    if thresholds.least_cosine is not None:
        is_accepted &= tested.inputs[:, 0] >= thresholds.least_cosine
    measured = measure_llr(ratios, tested.is_target)
    return {
        "eer": measured.eer,
        "cllr": measured.cllr,
        "min_cllr": measured.min_cllr,
        "false_accepts": float(is_accepted[~tested.is_target].mean()),
        "false_rejects": float((ratios < thresholds.reject)[tested.is_target].mean()),
        "accepted_targets": float(is_accepted[tested.is_target].mean()),
    }
