"""The interface of a speaker store, and the data that it keeps of a person.

`sqlite_store` needs no server; `postgres_store` keeps the speakers in PostgreSQL with pgvector. Both have the same
interface, and `open_store` opens either.
"""

import hashlib
import json
import math
import os
import re
import sys
import unicodedata
import uuid
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

import numpy as np

from mindvox.errors import InputError
from mindvox.files import PathLike
from mindvox.speech.quality import Quality

if TYPE_CHECKING:
    from mindvox.embedder import Embedder

NEW, ADD, REPLACE = "new", "add", "replace"
MODES = (NEW, ADD, REPLACE)
ENROLLED, ADDED, REPLACED, RENAMED, DELETED, EXPIRED = "enrolled", "added", "replaced", "renamed", "deleted", "expired"
FORMAT_VERSION = 2  # format of the tables
WITHOUT_QUALITY = 1  # the previous format: samples have no QUALITY_COLUMNS; opening a store adds them
QUALITY_COLUMNS = ("duration_s", "level_dbfs", "clipped_share", "snr_db", "bandwidth_hz", "voice_agreement")
"""The fields of a sample's Quality that a store keeps beside `net_speech_s`; without a duration it is unknown."""
VARIABLE = "MINDVOX_SPEAKERS"
POSTGRES = ("postgresql://", "postgres://")
MAX_NAME = 200  # characters
NEVER = math.inf
FIRST = 100  # default number of speakers that `list` returns
ID_PATTERN = "[0-9a-f]{32}"


class NoSuchSpeaker(InputError):  # noqa: N818 - a finding about a name
    """There is no speaker of this name."""


class SpeakerExists(InputError):  # noqa: N818 - a finding about a name
    """There is a speaker of this name already."""


class NotErased(InputError):  # noqa: N818 - the deletion itself went through
    """A deleted speaker cannot be found any more, but the bytes are still in a file of the store."""


class SpeakerId(NamedTuple):
    """A speaker's id: it is random and does not change when the speaker is renamed."""

    value: str


Who = Union[str, SpeakerId]
"""A speaker, by name or by id."""


class Failures(NamedTuple):
    """Failed verifications of a speaker since the last accepted one.

    Attributes:
        number: how many.
        last: time of the last failure, seconds since 1970 (UTC); 0: there is none.
    """

    number: int
    last: float


@dataclass(frozen=True)
class ModelIdentity:
    """The model that made a store's embeddings; embeddings of different models cannot be compared.

    Attributes:
        name: the user's name for it; for messages.
        fingerprint: SHA-256 of the model file and of its front end.
        emb_size: D.
    """

    name: str
    fingerprint: str
    emb_size: int

    @classmethod
    def of(cls, embedder: "Embedder") -> "ModelIdentity":
        """Return the identity of an opened model."""
        exported = embedder.engine.exported
        parts = [exported.file_sha256, exported.weights_sha256, exported.front_end]
        text = json.dumps(parts, sort_keys=True)
        name = embedder.model_file.parent.name or embedder.model_file.name
        return cls(name, hashlib.sha256(text.encode()).hexdigest(), embedder.emb_size)


@dataclass(frozen=True)
class Sample:
    """One recording of a speaker.

    Attributes:
        embedding: (D,), float32, as the model gives it: not scaled to length 1.
        source: the recording's name: its file's name without the folder.
        net_speech_s: net speech in s; taken from `quality` if that is known.
        added: time of enrolment, seconds since 1970 (UTC); the store sets it if it is 0.
        quality: the recording's measured quality; None: unknown, as for samples from a store of format 1.
    """

    embedding: np.ndarray
    source: str = ""
    net_speech_s: float = 0.0
    added: float = 0.0
    quality: Optional[Quality] = None

    def __post_init__(self) -> None:
        if self.quality is not None:
            object.__setattr__(self, "net_speech_s", self.quality.net_speech_s)


@dataclass(frozen=True)
class Terms:
    """The terms on which a speaker is kept.

    Attributes:
        group: name of a group of speakers, to which a search can be limited; empty: none.
        consent: what the person agreed to, when and how, in the user's words; empty: unknown.
        expires: time from which the speaker is no longer found and is deleted, seconds since 1970 (UTC); or NEVER.
    """

    group: str = ""
    consent: str = ""
    expires: float = NEVER


@dataclass(frozen=True)
class Speaker:
    """A speaker with all samples.

    Attributes:
        name: unique in the store.
        samples: at least one, oldest first.
        terms: see Terms.
        created, changed: seconds since 1970 (UTC).
        id: 32 hexadecimal digits, unique in the store; the store draws an id if this is empty.
    """

    name: str
    samples: tuple[Sample, ...]
    terms: Terms = Terms()
    created: float = 0.0
    changed: float = 0.0
    id: str = ""

    @property
    def centroid(self) -> np.ndarray:
        """The vector that a search compares with, (D,), see `centroid_of`."""
        return centroid_of(self.samples)


class Summary(NamedTuple):
    """A speaker without the embeddings: an entry of a list. See Speaker; `net_speech_s` is the sum over all samples."""

    name: str
    num_samples: int
    net_speech_s: float
    terms: Terms
    created: float
    changed: float
    id: str = ""


class Match(NamedTuple):
    """A speaker that a search found: the name, and the cosine of the embedding with the centroid, from -1 to 1."""

    name: str
    score: float


class AuditEntry(NamedTuple):
    """One change of the store, without embeddings.

    Attributes:
        number: increases with every entry.
        at: time of the change, seconds since 1970 (UTC).
        action: ENROLLED, ADDED, REPLACED, RENAMED, DELETED or EXPIRED.
        name: the speaker's name before the change.
        detail: number of samples, or the new name.
    """

    number: int
    at: float
    action: str
    name: str
    detail: str


# SpeakerStore has a method called `list`, which hides the builtin in its annotations.
Summaries = list[Summary]
Matches = list[Match]
Found = list[Matches]
Entries = list[AuditEntry]


class SpeakerStore(ABC):
    """Speakers by name, their embeddings, and the exact search among them.

    Several processes and threads may use one store at once. When a method returns, its changes are complete and on
    disk. An expired speaker is treated as absent, and is deleted by the next change of the store.

    Attributes:
        where: the file or the address, for messages.
        model: the model that made the embeddings in the store.
    """

    where: str
    model: ModelIdentity

    def require(self, model: ModelIdentity) -> None:
        """Raise InputError if the store is for another model."""
        check_model(self.where, self.model, model)

    def put(self, name: str, samples: Sequence[Sample], terms: Optional[Terms] = None, mode: str = NEW) -> None:
        """Enrol a speaker.

        Args:
            name: see `check_name`.
            samples: at least one.
            terms: None: an existing speaker keeps the present terms, a new speaker gets `Terms()`.
            mode: NEW: the name must be free. ADD: keep the existing samples, if any. REPLACE: replace them.

        Raises:
            SpeakerExists: the mode is NEW and the name is taken.
            InputError: a name or an embedding is not allowed.
        """
        self.put_all([Speaker(name, tuple(samples), terms or Terms())], mode, keep_terms=terms is None)

    @abstractmethod
    def put_all(self, speakers: Iterable[Speaker], mode: str = NEW, keep_terms: bool = False) -> int:
        """Enrol speakers and return how many; an error leaves the store unchanged.

        Args:
            speakers, mode: see `put`.
            keep_terms: whether existing speakers keep their terms.
        """

    @abstractmethod
    def get(self, who: Who) -> Speaker:
        """Return a speaker; raise NoSuchSpeaker."""

    @abstractmethod
    def rename(self, who: Who, new_name: str) -> None:
        """Give a speaker another name; raise NoSuchSpeaker, or SpeakerExists if the new name is taken."""

    @abstractmethod
    def delete(self, who: Who) -> None:
        """Delete a speaker; raise NoSuchSpeaker, or NotErased as `erase` does."""

    @abstractmethod
    def ids(self, names: Collection[str]) -> dict[str, str]:
        """Return the ids of the speakers with these names, by name; names that do not exist are left out."""

    @abstractmethod
    def failures(self, who: Who) -> Failures:
        """Return the failed verifications of a speaker since the last accepted one; raise NoSuchSpeaker."""

    @abstractmethod
    def note_verification(self, who: Who, is_accepted: bool) -> Failures:
        """Count a failed verification, or reset the count after an accepted one; return `failures`.

        Raises:
            NoSuchSpeaker: there is no such speaker.
        """

    @abstractmethod
    def list(self, after: str = "", limit: int = FIRST, group: Optional[str] = None) -> Summaries:
        """Return speakers in the order of their names.

        Args:
            after: the name after which the list begins.
            limit: most speakers to return.
            group: only speakers of this group; None: all.
        """

    @abstractmethod
    def count(self, group: Optional[str] = None) -> int:
        """Return the number of speakers, of a group or of all."""

    @abstractmethod
    def search(
        self, embeddings: np.ndarray, k: int = 1, among: Optional[Collection[str]] = None, group: Optional[str] = None
    ) -> Found:
        """Return the k most similar speakers for each embedding, best first.

        The answer is exact: cosines are compared in double precision, and ties are in the order of enrolment.

        Args:
            embeddings: (Q, D), finite and not zero; lengths do not matter.
            k: at least 1; fewer speakers are returned if the store has fewer.
            among: only speakers with these names; None: all. Names that the store does not have are ignored.
            group: only speakers of this group; None: all.

        Raises:
            ValueError: `embeddings` or `k` are not as described.
        """

    @abstractmethod
    def centroids(self, limit: int) -> np.ndarray:
        """Return the centroids (N, D), float32, of at most `limit` speakers, spread evenly over the store."""

    @abstractmethod
    def audit(self, after: int = 0, limit: int = FIRST, name: Optional[str] = None) -> Entries:
        """Return entries of the audit, oldest first.

        Args:
            after: the number of the entry after which the list begins.
            limit: most entries to return.
            name: only entries of this speaker, including those under earlier names; None: all.
        """

    @abstractmethod
    def purge(self) -> int:
        """Delete the expired speakers and call `erase`; return their number."""

    @abstractmethod
    def erase(self) -> None:
        """Remove what deleted speakers have left in the files; raise NotErased if that is not possible now."""

    @abstractmethod
    def close(self) -> None:
        """Release the store; it must not be used any more."""

    def names(self, group: Optional[str] = None) -> Iterator[str]:
        """Yield the names of all speakers, or of those of a group, in order."""
        after = ""
        while page := self.list(after, 1000, group):
            yield from (line.name for line in page)
            after = page[-1].name

    def __enter__(self) -> "SpeakerStore":
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()


def default_store() -> str:
    """Return the default place of the speaker store.

    It is $MINDVOX_SPEAKERS, a file or the address of a PostgreSQL database, if that is set; otherwise
    `mindvox/speakers.db` in the user's folder for application data. The cache would be wrong: it may be emptied at any
    time.

    Raises:
        InputError: the user has no home folder.
    """
    return os.environ.get(VARIABLE) or str(data_folder(VARIABLE) / "speakers.db")


def data_folder(variable: str) -> Path:
    """Return the user's folder for this application's data.

    Args:
        variable: environment variable that can name the file instead; for the message.

    Raises:
        InputError: the user has no home folder.
    """
    try:
        if os.name == "nt":
            folder = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            folder = Path.home() / "Library" / "Application Support"
        else:
            folder = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    except RuntimeError:
        raise InputError(f"no home folder is known for this user: set {variable} to a file.") from None
    return folder / "mindvox"


def open_store(place: Optional[PathLike] = None, model: Optional[ModelIdentity] = None) -> SpeakerStore:
    """Open a store of speakers.

    Args:
        place: a file, or the address of a PostgreSQL database, `postgresql://...`; None: `default_store`.
        model: the model of the embeddings; if there is no store at `place`, one is made for this model. None: the store
            must exist.

    Raises:
        InputError: the store does not exist and no model is given, it is for another model, or `place` holds something
            else.
    """
    where = default_store() if place is None else str(place)
    if where.startswith(POSTGRES):
        from mindvox.speakers.postgres_store import PostgresStore

        return PostgresStore.open(where, model)
    from mindvox.speakers.sqlite_store import SqliteStore

    return SqliteStore.open(where, model)


def check_model(where: str, stored: ModelIdentity, given: Optional[ModelIdentity]) -> None:
    """Raise InputError if a store is for another model."""
    if given is not None and stored.fingerprint != given.fingerprint:
        raise InputError(
            f"{where}: its speakers were enrolled with the model {stored.name} ({stored.fingerprint[:12]}), got "
            f"{given.name} ({given.fingerprint[:12]}), whose embeddings cannot be compared with theirs. Choose the "
            "store's model (--model), or enrol into another store (--store)."
        )


def about_store(model: ModelIdentity) -> dict[str, str]:
    """Return the keys and values that a new store records about itself."""
    about = {"format_version": FORMAT_VERSION, "model": model.name, "fingerprint": model.fingerprint}
    return {key: str(value) for key, value in {**about, "emb_size": model.emb_size}.items()}


def model_of_store(where: str, about: Mapping[str, str], given: Optional[ModelIdentity]) -> ModelIdentity:
    """Return the model of a store from what the store records about itself.

    Raises:
        InputError: the store's format is neither FORMAT_VERSION nor WITHOUT_QUALITY, or its model is not the given one.
    """
    version = about.get("format_version")
    if version not in (str(WITHOUT_QUALITY), str(FORMAT_VERSION)):
        raise InputError(
            f"{where}: a store of format {version}, but this version reads {FORMAT_VERSION}. Export the speakers with "
            "the version that made it (`mindvox speakers export --all`), and import them into a new store."
        )
    stored = ModelIdentity(about["model"], about["fingerprint"], int(about["emb_size"]))
    check_model(where, stored, given)
    return stored


def check_name(name: str) -> str:
    """Return a speaker's name in the form that the store keeps: composed characters (NFC), no surrounding blanks.

    Raises:
        InputError: the name is empty, longer than MAX_NAME, or has unprintable characters.
    """
    composed = unicodedata.normalize("NFC", name).strip()
    if not composed or len(composed) > MAX_NAME or not composed.isprintable():
        raise InputError(
            f"name of a speaker: expected 1 to {MAX_NAME} characters that can be printed, got {name[: MAX_NAME + 1]!r}."
        )
    return composed


def no_store(where: object, what: str = "no store of speakers") -> InputError:
    """Return the error for a place without a store."""
    return InputError(f"{where}: {what}. `mindvox enrol NAME FILE...` makes one.")


def no_such_speaker(who: Who, where: str) -> NoSuchSpeaker:
    """Return the error for a name or an id that a store does not have."""
    if isinstance(who, SpeakerId):
        return NoSuchSpeaker(f"{who.value}: no speaker of this id in {where}.")
    return NoSuchSpeaker(f"{who}: no speaker of this name in {where}; `mindvox speakers list` lists them.")


def id_is_taken(speaker_id: str) -> SpeakerExists:
    """Return the error for a new speaker's id that another speaker has."""
    return SpeakerExists(f"id {speaker_id}: another speaker has it, under another name. Rename or delete that one.")


def new_id() -> str:
    """Return a random id."""
    return uuid.uuid4().hex


def name_is_taken(name: str) -> SpeakerExists:
    """Return the error for a new name that another speaker has."""
    return SpeakerExists(f"{name}: another speaker has this name.")


def already_enrolled(name: str) -> SpeakerExists:
    """Return the error for a name that is taken."""
    advice = "Add recordings (--add), or replace the present ones (--replace)."
    return SpeakerExists(f"{name}: enrolled already. {advice}")


def checked_all(speakers: Iterable[Speaker], mode: str, emb_size: int, now: float) -> list[Speaker]:
    """Return speakers in the form that a store takes, see `checked`; raise ValueError for an unknown mode."""
    if mode not in MODES:
        raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}.")
    return [checked(speaker, emb_size, now) for speaker in speakers]


def checked_queries(embeddings: np.ndarray, k: int, emb_size: int) -> np.ndarray:
    """Return the queries (Q, D) of a search, scaled to length 1; raise ValueError as `SpeakerStore.search` does."""
    queries = unit_rows(embeddings)
    if queries.shape[1] != emb_size or k < 1:
        raise ValueError(f"expected (Q, {emb_size}) and k >= 1, got {queries.shape} and {k}.")
    return queries


def stored_terms(terms: Terms) -> tuple[str, str, Optional[float]]:
    """Return terms as values for a database, in the order of Terms; NEVER becomes NULL."""
    return terms.group, terms.consent, None if terms.expires == NEVER else terms.expires


def stored_quality(sample: Sample) -> tuple[Optional[float], ...]:
    """Return a sample's quality as values for a database, in the order of QUALITY_COLUMNS; all NULL if unknown."""
    return tuple(getattr(sample.quality, column) if sample.quality else None for column in QUALITY_COLUMNS)


def quality_of(net_speech_s: float, stored: Sequence[Optional[float]]) -> Optional[Quality]:
    """Return the quality that `stored_quality` stored beside `net_speech_s`; None: it is unknown."""
    known: dict[str, Any] = dict(zip(QUALITY_COLUMNS, stored, strict=True))
    return None if known["duration_s"] is None else Quality(net_speech_s=net_speech_s, **known)


def terms_of(group: str, consent: str, expires: Optional[float]) -> Terms:
    """Return the terms that `stored_terms` stored."""
    return Terms(group, consent, NEVER if expires is None else expires)


def checked(speaker: Speaker, emb_size: int, now: float) -> Speaker:
    """Return a speaker with the name in the store's form and with float32 samples that have a time.

    Raises:
        InputError: the name or the id is not allowed, there is no sample, or an embedding is not (D,), finite and
            non-zero.
    """
    name = check_name(speaker.name)
    if speaker.id and not re.fullmatch(ID_PATTERN, speaker.id):
        raise InputError(f"{name}: id: expected 32 hexadecimal digits, got {speaker.id[:40]!r}.")
    if not speaker.samples:
        raise InputError(f"{name}: expected at least one recording.")
    samples = []
    for sample in speaker.samples:
        vector = np.asarray(sample.embedding, np.float32)
        if vector.shape != (emb_size,) or not np.isfinite(vector).all() or not vector.any():
            raise InputError(
                f"{name}: {sample.source or 'a sample'}: expected an embedding of {emb_size} numbers that are finite "
                f"and not all zero, got an array {vector.shape}."
            )
        samples.append(replace(sample, embedding=vector, added=sample.added or now))
    return replace(speaker, name=name, samples=tuple(samples))


def centroid_of(samples: Sequence[Sample]) -> np.ndarray:
    """Return the mean (D,) of the embeddings, each scaled to length 1, itself scaled to length 1; float32.

    Raises:
        InputError: the mean of the embeddings is zero.
    """
    mean = unit_rows(np.stack([sample.embedding for sample in samples])).mean(axis=0)
    length = np.linalg.norm(mean)
    if length < 1e-6:
        raise InputError("the recordings contradict each other: the mean of their embeddings is zero.")
    return (mean / length).astype(np.float32)


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Return rows (N, D) scaled to length 1, in double precision.

    Raises:
        ValueError: the array is not (N, D), or a row is zero or not finite.
    """
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True) if vectors.ndim == 2 else np.zeros(1)
    if not ((lengths > 0) & np.isfinite(lengths)).all():
        raise ValueError(f"expected embeddings (N, D) that are finite and not zero, got an array {vectors.shape}.")
    return vectors / lengths
