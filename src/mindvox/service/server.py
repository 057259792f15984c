"""Run the service: open a socket, start the workers, and run uvicorn."""

import asyncio
import socket
from typing import Any, Optional

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mindvox.errors import InputError, UsageError
from mindvox.service.app import create_app
from mindvox.service.printing import warn
from mindvox.service.settings import Settings
from mindvox.service.telemetry import AuditLog
from mindvox.service.tokens import TokenFile
from mindvox.service.voices import Voices

FINISH_S = 60  # longest time for accepted requests at a graceful shutdown
IDLE_S = 5  # longest idle time of a connection between two requests
MAX_CONNECTIONS = 1000
MAX_HEADER_BYTES = 32 << 10


class PatientProtocol(H11Protocol):
    """HTTP/1.1 with a limited time for the first request and for the headers of each request."""

    header_s = 10.0
    _header_timer: Optional[asyncio.TimerHandle] = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._unwatch()
        elif self._header_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._watch()  # the headers of the next request are incomplete

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        self._header_timer = self.loop.call_later(self.header_s, self._give_up)

    def _unwatch(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _give_up(self) -> None:
        self._header_timer = None
        if not self.transport.is_closing():
            self.transport.close()


def serve(settings: Settings) -> None:
    """Run the service until it is told to stop.

    Raises:
        UsageError: it would accept calls from other machines without tokens.
        InputError: the address is in use, the audit log cannot be written, or a model or package is missing.
    """
    tokens = TokenFile(settings.tokens_file)
    if not tokens.all() and not settings.is_loopback:
        raise UsageError(
            f"{settings.host}: other machines can reach this address, but {tokens.path} has no tokens. Make one first: "
            "mindvox tokens add NAME --scopes read,enrol"
        )
    if not tokens.all() and settings.allowed_hosts:
        raise UsageError("--allowed_host: needs tokens: mindvox tokens add NAME --scopes read,enrol")
    audit = AuditLog(settings.audit_log)
    listener = _listen(settings)
    with listener:
        voices = Voices(settings)
        try:
            voices.start()
        except BaseException:
            voices.store.close()
            raise
        protocol = type("Protocol", (PatientProtocol,), {"header_s": settings.limits.header_s})
        config = uvicorn.Config(
            create_app(settings, voices, tokens, audit),
            http=protocol,
            ws="none",
            access_log=False,
            log_level="warning",
            use_colors=False,  # as all of this project
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=FINISH_S,
            limit_concurrency=MAX_CONNECTIONS,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        )
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        if not settings.is_loopback:
            warn(f"{shown}: tokens and voices arrive unencrypted; put a proxy with TLS in front.")
        print(f"listening: http://{shown}:{port}", flush=True)
        uvicorn.Server(config).run(sockets=[listener])


def _listen(settings: Settings) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(socket.SOMAXCONN)
    except OSError as error:
        raise InputError(f"{settings.host}:{settings.port}: {error.strerror or error}.") from None
    return listener
