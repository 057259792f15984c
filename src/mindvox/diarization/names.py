"""Name the speakers of a diarization from the store of enrolled speakers, or enrol them there."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Optional

import numpy as np

from mindvox.diarization.pipeline import Diarization
from mindvox.diarization.turns import joined, renamed, speech_of
from mindvox.embedder import Embedder
from mindvox.errors import InputError, UsageError, did_you_mean
from mindvox.speakers.enrolment import Rules
from mindvox.speakers.identification import Candidates, identify_embeddings, naming_of
from mindvox.speakers.store import NEW, ModelIdentity, Sample, Speaker, SpeakerStore, Terms
from mindvox.speech.quality import Quality


def name_speakers(
    found: Diarization, store: SpeakerStore, embedder: Embedder, candidates: Optional[Candidates] = None
) -> Diarization:
    """Give enrolled speakers their names; the others remain speaker_1, speaker_2, ...

    Two speakers identified as the same enrolled speaker become one. A speaker for whom `identify` has no answer, for
    example because of a telephone, gets no name, and a note says why.

    Args:
        store: the enrolled speakers, with embeddings of the same model.
        candidates: the speakers that may be named, and how sure the answer must be; None: see `Candidates`.

    Raises:
        UsageError: no threshold can be computed, see `name_threshold`.
        InputError: the store is for another model, or an enrolled speaker's name is that of an unnamed one, e.g.
            speaker_1.
    """
    store.require(ModelIdentity.of(embedder))
    if not found.speakers:
        return found
    candidates = candidates or Candidates()
    answers = identify_embeddings(
        store,
        np.stack([found.embeddings[name] for name in found.speakers]),
        candidates,
        naming_of(store, embedder, candidates),
        [found.qualities.get(name) for name in found.speakers],
    )
    names = {speaker: answer.name for speaker, answer in zip(found.speakers, answers, strict=True) if answer.name}
    taken = set(names.values()) & (set(found.speakers) - set(names))
    if taken:
        raise InputError(
            f"{min(taken)} is the name of an enrolled speaker and of another one in the recording: rename the first."
        )
    scores: dict[str, float] = {}
    embeddings: dict[str, np.ndarray] = {}
    qualities: dict[str, Quality] = {}
    for speaker, answer in zip(found.speakers, answers, strict=True):
        name = names.get(speaker, speaker)
        if name not in embeddings or (answer.score or 0.0) > scores.get(name, 1.0):
            embeddings[name] = found.embeddings[speaker]
            if speaker in found.qualities:
                qualities[name] = found.qualities[speaker]
            if answer.name and answer.score is not None:
                scores[name] = answer.score
    reasons: dict[str, list[str]] = {}
    for speaker, answer in zip(found.speakers, answers, strict=True):
        if answer.reason:
            reasons.setdefault(answer.reason, []).append(speaker)
    notes = [f"No name for {', '.join(speakers)}: {reason}." for reason, speakers in reasons.items()]
    return replace(
        found,
        turns=joined(renamed(found.turns, names)),
        embeddings=embeddings,
        scores=scores,
        notes=[*found.notes, *notes],
        qualities=qualities,
    )


def enrol_speakers(
    found: Diarization,
    names: Mapping[str, str],
    store: SpeakerStore,
    embedder: Embedder,
    mode: str = NEW,
    terms: Optional[Terms] = None,
    min_speech_s: float = Rules.min_net_speech_s,
) -> None:
    """Enrol speakers of a recording, all of them or none.

    Args:
        names: for each speaker to enrol, maps the name in the recording to the name in the store.
        mode, terms: see `SpeakerStore.put`.
        min_speech_s: least speech per speaker in s.

    Raises:
        UsageError: the recording has no speaker of that name.
        SpeakerExists, InputError: see `SpeakerStore.put`; or a speaker has too little speech.
    """
    store.require(ModelIdentity.of(embedder))
    for speaker in names:
        if speaker not in found.embeddings:
            hint = did_you_mean(speaker, found.embeddings, otherwise=f"; there are {', '.join(found.speakers)}.")
            raise UsageError(f"{found.recording}: no speaker {speaker!r} in it{hint}")
        seconds = speech_of(found.turns, speaker)
        if seconds < min_speech_s:
            raise InputError(
                f"{found.recording}: {speaker} has {seconds:.1f} s of speech, at least {min_speech_s:g} s are needed."
            )
    speakers = [
        Speaker(
            name,
            (
                Sample(
                    *(found.embeddings[speaker], found.recording, speech_of(found.turns, speaker)),
                    quality=found.qualities.get(speaker),
                ),
            ),
            terms or Terms(),
        )
        for speaker, name in names.items()
    ]
    store.put_all(speakers, mode, keep_terms=terms is None)
