"""Enrol a speaker, after a check that the recordings agree and that no other enrolled speaker has the same voice."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Optional, TypeVar

import numpy as np

from mindvox.decisions import Source
from mindvox.embedder import Embedder
from mindvox.errors import InputError
from mindvox.pair_calibration import PairCalibration
from mindvox.progress import Progress
from mindvox.rules import Rule, Thresholds
from mindvox.speakers.listening import Heard, Listener, UnfitRecording
from mindvox.speakers.store import (
    ADD,
    MODES,
    NEW,
    Match,
    NoSuchSpeaker,
    Sample,
    Speaker,
    SpeakerStore,
    Terms,
    already_enrolled,
    centroid_of,
    check_name,
    unit_rows,
)

TOO_LITTLE, ODD = "too_little_speech", "different_voices"
NEAREST = 5  # number of other speakers that are checked for the same voice

One = TypeVar("One")


@dataclass(frozen=True)
class Rules:
    """The rules that an enrolment must keep to.

    Args:
        min_net_speech_s: least net speech in s of all usable recordings together, including those enrolled before.
        min_agreement: least mean cosine between the two groups of recordings that differ most; None: the `reject`
            threshold of the model, or no limit if the model has no thresholds.
        same_voice: cosine from which another enrolled speaker is reported as the same voice; None: the `accept`
            threshold of the model, or no report if the model has no thresholds.
        pairs: rule for pairs of recordings; if it gives no answer about the recordings, no same voice is reported, and
            a note says why. None: the model's calibration, or no rule if the model has none.

    Raises:
        ValueError: a rule is out of range.
    """

    min_net_speech_s: float = 2.0
    min_agreement: Optional[float] = None
    same_voice: Optional[float] = None
    pairs: Optional[Rule] = None

    def __post_init__(self) -> None:
        cosines = [value for value in (self.min_agreement, self.same_voice) if value is not None]
        if not (self.min_net_speech_s >= 0 and all(-1 <= value <= 1 for value in cosines)):
            raise ValueError(f"expected a length of at least 0 s and cosines from -1 to 1, got {self}.")

    def of_model(self, embedder: Embedder) -> "Rules":
        """Return these rules with every None replaced by the model's value, if the model has one."""
        return self.completed(Thresholds.of_model(embedder.model_file), PairCalibration.of_model(embedder))

    def completed(self, thresholds: Optional[Thresholds], pairs: Optional[Rule]) -> "Rules":
        """Return these rules with every None replaced by a model's thresholds and by its rule for pairs."""
        rules = replace(self, pairs=pairs if self.pairs is None else self.pairs)
        if thresholds is None:
            return rules
        return replace(
            rules,
            min_agreement=thresholds.reject if self.min_agreement is None else self.min_agreement,
            same_voice=thresholds.accept if self.same_voice is None else self.same_voice,
        )

    def why_silent(self, samples: Iterable[Sample]) -> str:
        """Return why cosines of these recordings cannot show the same voice; empty: they can."""
        return "" if self.pairs is None else self.pairs.why_silent([sample.quality for sample in samples])


@dataclass(frozen=True)
class Taken:
    """A recording that can be used.

    Attributes:
        source: its name.
        net_speech_s: length of its speech in s.
        agreement: mean cosine with the speaker's other recordings; None: it is the only one.
    """

    source: str
    net_speech_s: float
    agreement: Optional[float]


@dataclass(frozen=True)
class LeftOut:
    """A recording that cannot be used, with the reason as a code and in words; see UnfitRecording."""

    source: str
    code: str
    reason: str


@dataclass(frozen=True)
class Enrolment:
    """The result of an enrolment.

    Attributes:
        name: the speaker's name in the store.
        enrolled: whether the recordings are in the store now.
        code: why they are not: TOO_LITTLE, ODD, or the code of the only recording; empty if they are.
        reason: the same reason in words.
        taken: recordings that can be used.
        left_out: recordings that cannot be used.
        odd: recordings, new or enrolled before, that differ from the others so much that they seem to be of another
            person.
        same_voice: other speakers whose voice seems to be the same, nearest first.
        notes: consequences of recordings that the model's calibration has no answer about, one sentence each.
    """

    name: str
    enrolled: bool
    code: str
    reason: str
    taken: tuple[Taken, ...]
    left_out: tuple[LeftOut, ...]
    odd: tuple[str, ...]
    same_voice: tuple[Match, ...]
    notes: tuple[str, ...] = ()


def enrol(
    store: SpeakerStore,
    listener: Listener,
    name: str,
    recordings: Sequence[Source],
    mode: str = NEW,
    terms: Optional[Terms] = None,
    rules: Rules = Rules(),
    sample_rate: Optional[int] = None,
    channel: Optional[int] = None,
) -> Enrolment:
    """Enrol a speaker with all usable recordings, or with none if the recordings break the rules.

    Args:
        store: receives the recordings' embeddings and names, but not the recordings.
        listener: the model of the store, and the limits.
        name, mode, terms: see `SpeakerStore.put`.
        recordings: at least one.
        rules: the rules that the recordings must keep to.
        sample_rate, channel: see `examine`.

    Raises:
        SpeakerExists: the mode is NEW and the name is taken.
        InputError: the name is not allowed, or see `Listener.hear`. A recording that cannot be used is not an error.
    """
    name = check_name(name)
    if mode not in MODES:
        raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}.")
    if not recordings:
        raise InputError(f"{name}: expected at least one recording.")
    before = samples_before(store, name, mode)
    heard, left_out = hear_all(recordings, lambda one: listener.hear(one, sample_rate, channel))
    return decide(store, name, heard, left_out, before, mode, terms, rules.of_model(listener.embedder))


def decide(
    store: SpeakerStore,
    name: str,
    heard: Sequence[Heard],
    left_out: Sequence[LeftOut],
    before: Sequence[Sample],
    mode: str,
    terms: Optional[Terms],
    rules: Rules,
) -> Enrolment:
    """Enrol a speaker with the recordings heard if they keep to the rules; see `enrol`.

    Args:
        before: the speaker's samples that the store keeps.
        rules: the rules, completed by `Rules.of_model`.
    """
    new = [Sample(one.embedding, one.source, quality=one.quality) for one in heard]
    samples = [*before, *new]
    agreements, between, odd = _agreement([sample.embedding for sample in samples])
    taken = tuple(
        Taken(sample.source, sample.net_speech_s, agreement)
        for sample, agreement in zip(new, agreements[len(before) :], strict=True)
    )

    notes = _notes(samples, rules)

    def refused(code: str, reason: str, odd: tuple[str, ...] = ()) -> Enrolment:
        return Enrolment(name, False, code, reason, taken, tuple(left_out), odd, (), notes)

    if not new:
        code = left_out[0].code if len(left_out) == 1 else TOO_LITTLE
        return refused(code, "; ".join(f"{one.source}: {one.reason}" for one in left_out))
    speech_s = sum(sample.net_speech_s for sample in samples)
    if speech_s < rules.min_net_speech_s:
        return refused(TOO_LITTLE, f"{speech_s:.1f} s of speech, at least {rules.min_net_speech_s:g} s are needed")
    if between is not None and rules.min_agreement is not None and between < rules.min_agreement:
        names = tuple(samples[place].source or "a recording" for place in odd)
        return refused(
            ODD,
            f"{', '.join(names)}: another voice {'or channel ' if notes else ''}than the other recordings (cosine "
            f"{between:.2f}, at least {rules.min_agreement:g} is expected for one voice)",
            names,
        )
    same_voice: tuple[Match, ...] = ()
    if rules.same_voice is not None:
        nearest = store.search(centroid_of(samples)[None], NEAREST + 1)[0]
        near = (match for match in nearest if match.name != name and match.score >= rules.same_voice)
        same_voice = tuple(match for match in near if not rules.why_silent([*samples, *_samples_of(store, match.name)]))
    store.put(name, new, terms, mode)
    return Enrolment(name, True, "", "", taken, tuple(left_out), (), same_voice, notes)


def _samples_of(store: SpeakerStore, name: str) -> tuple[Sample, ...]:
    """Return a speaker's samples; none if the speaker was deleted meanwhile."""
    try:
        return store.get(name).samples
    except NoSuchSpeaker:
        return ()


def _notes(samples: Sequence[Sample], rules: Rules) -> tuple[str, ...]:
    """Return the note about samples that the rule for pairs has no answer about."""
    silent = [(sample.source or "a recording", rules.why_silent([sample])) for sample in samples]
    found = [(source, reason) for source, reason in silent if reason]
    if not found:
        return ()
    names = ", ".join(source for source, _ in found)
    what = "`identify` gives no answer about this speaker without --threshold"
    if len(samples) > 1:
        what += ", and it cannot be checked that the recordings are of one voice"
    return (f"{names}: {found[0][1]}: {what}.",)


def enrolment_facts(done: Enrolment) -> dict[str, Any]:
    """Return everything about an enrolment, for JSON."""
    return {**asdict(done), "same_voice": [match._asdict() for match in done.same_voice]}


def samples_before(store: SpeakerStore, name: str, mode: str) -> tuple[Sample, ...]:
    """Return the speaker's samples that the store keeps; raise SpeakerExists before any work if the name is taken."""
    try:
        speaker: Optional[Speaker] = store.get(name)
    except NoSuchSpeaker:
        speaker = None
    if speaker is not None and mode == NEW:
        raise already_enrolled(name)
    return speaker.samples if speaker is not None and mode == ADD else ()


def hear_all(
    recordings: Iterable[One], hear: Callable[[One], Heard], progress: Optional[Progress] = None
) -> tuple[list[Heard], list[LeftOut]]:
    """Return what is heard in the usable recordings, and the other recordings with the reason.

    Args:
        recordings: the recordings, in any form that `hear` takes.
        hear: raises UnfitRecording for a recording that cannot be used.
        progress: counts the recordings.
    """
    heard, left_out = [], []
    for recording in recordings:
        try:
            heard.append(hear(recording))
        except UnfitRecording as error:
            left_out.append(LeftOut(error.name, error.code, error.reason))
        if progress is not None:
            progress.show(1)
    return heard, left_out


def _agreement(embeddings: Sequence[np.ndarray]) -> tuple[list[Optional[float]], Optional[float], list[int]]:
    """Compare the embeddings of one speaker.

    Returns:
        The mean cosine of each embedding with the others; the mean cosine between the two groups that average linkage
        leaves; the indices of the smaller group, or all indices if both groups have the same size.
    """
    count = len(embeddings)
    if count < 2:
        return [None] * count, None, []
    from scipy.cluster.hierarchy import cut_tree, linkage  # imported here: the import takes 0.25 s
    from scipy.spatial.distance import squareform

    unit = unit_rows(np.stack(embeddings))
    cosines = unit @ unit.T
    means = (cosines.sum(axis=1) - cosines.diagonal()) / (count - 1)
    distances = squareform(np.maximum(1 - cosines, 0), checks=False)
    groups = cut_tree(linkage(distances, "average"), n_clusters=2)[:, 0]
    first, second = np.flatnonzero(groups == 0), np.flatnonzero(groups == 1)
    between = float(cosines[np.ix_(first, second)].mean())
    smaller = min(first, second, key=len) if len(first) != len(second) else np.arange(count)
    return [float(mean) for mean in means], between, smaller.tolist()
