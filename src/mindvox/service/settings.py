"""Settings of the service: where it listens, what it opens, and its limits."""

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from mindvox.embedder import DEFAULT_MODEL
from mindvox.engines.engine import AUTO
from mindvox.errors import UsageError
from mindvox.parallel import num_cores

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Limits on requests.

    Args:
        max_bytes: largest body of a request in bytes.
        max_recording_s: longest recording in s.
        max_conversation_s: longest recording for diarization in s.
        max_recordings: most recordings in a request.
        decode_s: longest time to decode a recording in s; after that its process is killed.
        work_s: longest time to embed a recording in s; diarization may take as long as max_conversation_s.
        body_s: longest time in s for the body of a request to arrive.
        header_s: longest time in s for the headers of a request to arrive.
        max_waiting: most recordings that wait for a worker; beyond this, requests are refused.
        max_bodies_bytes: most bytes in memory of all request bodies together.
        requests_per_minute: requests per token, or per address if there are no tokens; 0: no limit.
        burst: requests that may arrive at once.
        max_failures: failed verifications of a speaker in a row until the speaker is locked; 0: never.
        lock_s: how long the speaker is locked, in s.

    Raises:
        UsageError: a limit is out of range.
    """

    max_bytes: int = 20 * MIB
    max_recording_s: float = 120.0
    max_conversation_s: float = 1800.0
    max_recordings: int = 20
    decode_s: float = 10.0
    work_s: float = 60.0
    body_s: float = 60.0
    header_s: float = 10.0
    max_waiting: int = 64
    max_bodies_bytes: int = 512 * MIB
    requests_per_minute: float = 600.0
    burst: int = 60
    max_failures: int = 5
    lock_s: float = 300.0

    def __post_init__(self) -> None:
        none_is_fine = ("requests_per_minute", "max_failures")
        for name, value in vars(self).items():
            if not (value > 0 or (value == 0 and name in none_is_fine)):
                raise UsageError(f"{name}: expected more than 0, got {value:g}.")
        if self.max_bodies_bytes < self.max_bytes:
            raise UsageError(f"max_bodies_bytes: expected at least max_bytes, {self.max_bytes}.")


@dataclass(frozen=True)
class Settings:
    """Settings of the service.

    Args:
        host: address to listen on.
        port: port to listen on; 0: any free port.
        store: the store of speakers, see `open_store`; None: the default store.
        tokens: file with the tokens; None: `default_tokens()`.
        model, engine: see `Embedder.open`.
        num_workers: number of processes that decode and embed.
        trusted_proxies: addresses of proxies that are trusted to give the caller's address (X-Forwarded-For).
        allowed_hosts: further host names under which callers may reach the service.
        audit_log: file that receives a line per call; None: standard error.
        allow_embeddings: whether callers may get embeddings.
        threshold: cosine from which two recordings are of one person; None: the model's threshold or calibration.
        limits: see Limits.

    Raises:
        UsageError: a value is out of range.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    store: Optional[str] = None
    tokens: Optional[Path] = None
    model: str = DEFAULT_MODEL
    engine: str = AUTO
    num_workers: int = field(default_factory=num_cores)
    trusted_proxies: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    audit_log: Optional[Path] = None
    allow_embeddings: bool = False
    threshold: Optional[float] = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.port < 1 << 16:
            raise UsageError(f"port: expected 0 to 65535, got {self.port}.")
        if self.num_workers < 1:
            raise UsageError(f"num_workers: expected at least 1, got {self.num_workers}.")
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise UsageError(f"threshold: expected a cosine from -1 to 1, got {self.threshold:g}.")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def tokens_file(self) -> Path:
        """The file with the tokens."""
        return default_tokens() if self.tokens is None else self.tokens


def default_tokens() -> Path:
    """Return the file with the tokens: $MINDVOX_TOKENS, or else `mindvox/tokens.json` in the user's data folder."""
    from mindvox.speakers.store import data_folder

    given = os.environ.get("MINDVOX_TOKENS")
    return Path(given) if given else data_folder("MINDVOX_TOKENS") / "tokens.json"
