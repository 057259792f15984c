"""Export all data of a speaker as JSON, for that person or for another store, and import it.

A file holds one speaker per line.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Optional

import numpy as np

from mindvox.errors import InputError
from mindvox.files import PathLike, atomic_path, text_lines
from mindvox.speakers.store import (
    NEVER,
    AuditEntry,
    ModelIdentity,
    Sample,
    Speaker,
    SpeakerStore,
    Summary,
    Terms,
    check_model,
)
from mindvox.speech.quality import Quality

FORMAT_VERSION = 1


def export_speakers(store: SpeakerStore, names: Iterable[str], path: PathLike) -> int:
    """Write speakers into a file and return their number.

    Raises:
        NoSuchSpeaker: the store has no speaker with one of the names; the file is not written.
    """
    count = 0
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        for name in names:
            stream.write(export_line(store, name) + "\n")
            count += 1
    return count


def export_line(store: SpeakerStore, name: str) -> str:
    """Return everything that a store has of a speaker, as one line of JSON; raise NoSuchSpeaker."""
    speaker = store.get(name)
    model = store.model
    known = {
        "format_version": FORMAT_VERSION,
        "model": {"name": model.name, "fingerprint": model.fingerprint, "emb_size": model.emb_size},
        **facts(speaker),
        "samples": [
            {
                "source": sample.source,
                "net_speech_s": sample.net_speech_s,
                "added": as_text(sample.added),
                "quality": asdict(sample.quality) if sample.quality else None,
                # The shortest decimals that read back as the same float32.
                "embedding": [float(str(value)) for value in sample.embedding],
            }
            for sample in speaker.samples
        ],
        "audit": [entry_facts(entry) for entry in whole_audit(store, name)],
    }
    return json.dumps(known, ensure_ascii=False)


def model_of(path: PathLike) -> ModelIdentity:
    """Return the model of the first speaker in a file that `export_speakers` wrote; raise InputError."""
    for where, known in _read(path):
        with _said_clearly(where):
            return ModelIdentity(**known["model"])
    raise InputError(f"{path}: no speakers in it.")


def import_speakers(path: PathLike, model: ModelIdentity) -> Iterator[Speaker]:
    """Yield the speakers of a file that `export_speakers` wrote.

    Raises:
        InputError: a line is damaged, or of another model.
    """
    for where, known in _read(path):
        with _said_clearly(where):
            check_model(where, ModelIdentity(**known["model"]), model)
            samples = tuple(
                Sample(
                    np.array(sample["embedding"], np.float32),
                    *(str(sample["source"]), float(sample["net_speech_s"]), as_seconds(sample["added"])),
                    _quality_in(sample),
                )
                for sample in known["samples"]
            )
            expires = NEVER if known["expires"] is None else as_seconds(known["expires"])
            terms = Terms(str(known["group"]), str(known["consent"]), expires)
            created, speaker_id = as_seconds(known["created"]), str(known.get("id", ""))
            speaker = Speaker(str(known["name"]), samples, terms, created, id=speaker_id)
        yield speaker


def _quality_in(sample: dict[str, Any]) -> Optional[Quality]:
    """Return the quality in a sample of an export; None: the sample has none, as in exports of earlier versions."""
    known = sample.get("quality")
    if known is None:
        return None
    numbers: dict[str, Any] = {name: None if value is None else float(value) for name, value in known.items()}
    quality = Quality(**numbers)
    if (
        None in (quality.duration_s, quality.net_speech_s, quality.clipped_share)
        or not np.isfinite([value for value in numbers.values() if value is not None]).all()
    ):
        raise ValueError(f"quality: expected finite numbers, got {known}")
    return quality


def _read(path: PathLike) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place of each line of a file (path:number) and its content."""
    for line_no, line in text_lines(path, "export of speakers"):
        where = f"{path}:{line_no}"
        with _said_clearly(where):
            known = json.loads(line)
            version = known["format_version"]
        if version != FORMAT_VERSION:
            raise InputError(f"{where}: an export of format {version}, but this version reads {FORMAT_VERSION}.")
        yield where, known


@contextmanager
def _said_clearly(where: str) -> Iterator[None]:
    """Turn an error about the content of a line into an InputError."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{where}: expected one speaker per line, as `mindvox speakers export` writes it ({reason})."
        ) from None


def facts(speaker: "Speaker | Summary") -> dict[str, Any]:
    """Return all data of a speaker except the samples, for JSON."""
    terms = speaker.terms
    return {
        "id": speaker.id,
        "name": speaker.name,
        "group": terms.group,
        "consent": terms.consent,
        "expires": None if terms.expires == NEVER else as_text(terms.expires),
        "created": as_text(speaker.created),
        "changed": as_text(speaker.changed),
    }


def entry_facts(entry: AuditEntry) -> dict[str, Any]:
    """Return an entry of the audit for JSON."""
    return {**entry._asdict(), "at": as_text(entry.at)}


def whole_audit(store: SpeakerStore, name: Optional[str] = None) -> Iterator[AuditEntry]:
    """Yield all entries of the audit, or those of one speaker."""
    after = 0
    while page := store.audit(after, 1000, name):
        yield from page
        after = page[-1].number


def as_text(seconds: float) -> str:
    """Return a time in ISO 8601 and UTC, for example 2026-11-27T09:30:00.25Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def as_seconds(text: str) -> float:
    """Return a time that `as_text` wrote in seconds since 1970; raise ValueError."""
    return datetime.fromisoformat(text).timestamp()
