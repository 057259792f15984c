"""Tokens of callers: they are random, shown once, and stored as hashes in one file."""

import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

from mindvox.errors import InputError
from mindvox.files import lock_output, read_json, write_json
from mindvox.speakers.store import NEVER

READ, ENROL, ADMIN, METRICS = "read", "enrol", "admin", "metrics"
SCOPES = {
    READ: "verify, identify, diarize, list speakers",
    ENROL: "enrol speakers, and add recordings to them",
    ADMIN: "delete and rename speakers, get embeddings, read the metrics",
    METRICS: "read the metrics",
}
FORMAT_VERSION = 1
PATTERN = re.compile(r"mv_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
MAX_NAME = 100  # characters


@dataclass(frozen=True)
class Token:
    """The stored data of a token.

    Attributes:
        id: first part of the token itself; logs and `revoke` use it.
        name: name of the holder.
        sha256: hash of the whole token. The token has 256 random bits, so a slow hash is not needed.
        scopes: the calls that it allows, keys of SCOPES.
        created, expires: seconds since 1970 (UTC); None: it does not expire.
    """

    id: str
    name: str
    sha256: str
    scopes: tuple[str, ...]
    created: float
    expires: Optional[float]

    def is_valid(self, now: float) -> bool:
        """Return whether the token has not expired."""
        return self.expires is None or now < self.expires


class TokenFile:
    """The tokens in a file; the file is reread when it changes.

    Args:
        path: the file; if it does not exist, there are no tokens.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: Optional[tuple[int, int, int]] = None
        self._tokens: tuple[Token, ...] = ()

    def all(self) -> tuple[Token, ...]:
        """Return the tokens; raise InputError if the file is not a file of tokens."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._stamp, self._tokens = None, ()
            return ()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._tokens, self._stamp = _read(self.path), stamp
        return self._tokens

    def find(self, text: str, now: Optional[float] = None) -> Optional[Token]:
        """Return the stored token for the text that a caller sent; None: it is not valid."""
        now = time.time() if now is None else now
        shown = hashlib.sha256(text.encode(errors="replace")).hexdigest()
        found = None
        for token in self.all():
            if hmac.compare_digest(token.sha256, shown):
                found = token
        return found if found is not None and found.is_valid(now) else None

    def add(self, name: str, scopes: Collection[str], expires: float = NEVER) -> str:
        """Make a token and return it; only its hash is kept.

        Raises:
            InputError: a scope is unknown, or the name is not allowed.
        """
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            raise InputError(f"scopes: expected some of {', '.join(SCOPES)}, got {', '.join(unknown) or 'none'}.")
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            raise InputError(f"name of a token: expected 1 to {MAX_NAME} characters that can be printed.")
        token_id = secrets.token_hex(4)
        text = f"mv_{token_id}_{secrets.token_urlsafe(32)}"
        token = Token(
            *(token_id, name.strip(), hashlib.sha256(text.encode()).hexdigest()),
            tuple(scope for scope in SCOPES if scope in scopes),
            *(time.time(), None if expires == NEVER else expires),
        )
        with lock_output(self.path):
            _write(self.path, (*self.all(), token))
        return text

    def revoke(self, token_id: str) -> None:
        """Remove a token by its id, or by its name if no other token has it; raise InputError."""
        with lock_output(self.path):
            tokens = self.all()
            found = [token for token in tokens if token_id in (token.id, token.name)]
            if len(found) != 1:
                why = f"{len(found)} have this name: give the id" if found else "`mindvox tokens list` lists them"
                raise InputError(f"{self.path}: no single token {token_id!r}; {why}.")
            _write(self.path, tuple(token for token in tokens if token.id != found[0].id))


def _read(path: Path) -> tuple[Token, ...]:
    content = read_json(path)
    try:
        if content["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format {content['format_version']}")
        return tuple(Token(**{**entry, "scopes": tuple(entry["scopes"])}) for entry in content["tokens"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected a file that `mindvox tokens` wrote ({error}).") from None


def _write(path: Path, tokens: tuple[Token, ...]) -> None:
    before = os.umask(0o077)  # only the owner may read it
    try:
        write_json(path, {"format_version": FORMAT_VERSION, "tokens": [asdict(token) for token in tokens]})
    finally:
        os.umask(before)
