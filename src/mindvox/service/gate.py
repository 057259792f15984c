"""Check every request before it is read: origin, token, rate, size and speed."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Optional

from starlette.requests import Request
from starlette.responses import JSONResponse

from mindvox.service.endpoints import Endpoint, endpoint_of
from mindvox.service.printing import warn
from mindvox.service.problems import MEDIA_TYPE, ServiceProblem
from mindvox.service.rates import RateLimiter
from mindvox.service.settings import Settings
from mindvox.service.telemetry import AuditLog, Metrics
from mindvox.service.tokens import Token, TokenFile

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

WRONG_TOKENS_PER_MINUTE, WRONG_TOKENS_AT_ONCE = 10, 10  # per address
COSTLY, COSTLY_REQUESTS = ("decode_timeout", "failed"), 20  # requests that a killed and restarted worker counts as
UNNOTED = "audit_unavailable"
NO_ANSWER = 0  # logged as the status if the caller has disconnected
MAX_TEXT_BYTES = 64 << 10  # largest body of a request that is not a form with recordings
DRAIN_S = 2.0  # how long the rest of a refused request is read, so that the refusal arrives
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; font-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Gate:
    """An ASGI application that checks requests before it passes them to another one.

    Args:
        app: the other application.
        settings: the settings of the service.
        tokens: the callers' tokens.
        metrics, audit: each call is recorded in both.
    """

    def __init__(self, app: App, settings: Settings, tokens: TokenFile, metrics: Metrics, audit: AuditLog) -> None:
        self._app, self._settings, self._tokens = app, settings, tokens
        self._metrics, self._audit = metrics, audit
        limits = settings.limits
        self._rates = RateLimiter(limits.requests_per_minute, limits.burst)
        self._wrong = RateLimiter(WRONG_TOKENS_PER_MINUTE, WRONG_TOKENS_AT_ONCE)
        self._held = 0  # bytes of all request bodies in memory

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection; see ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # web sockets are not supported
            return
        await _Call(self, Request(scope), receive, send).serve()

    def admit(self, request: Request, endpoint: Optional[Endpoint]) -> Optional[Token]:
        """Return the caller's token; None: none is needed. Raise ServiceProblem if the caller is refused."""
        self._check_origin(request)
        if not _is_call(request) or (endpoint is not None and not endpoint.scopes):
            return None
        self._check_audit()
        token = self._token(request, endpoint)
        caller = _caller(request, token)
        if wait_s := self._rates.wait_s(caller):
            raise ServiceProblem(429, "rate_limited", "Too many requests.", retry_after_s=wait_s)
        self._rates.count(caller)
        return token

    def _check_audit(self) -> None:
        """Refuse a call that cannot be recorded in the audit log, before anything is done."""
        try:
            self._audit.resume()
        except OSError:
            raise _not_noted("Nothing was done.") from None

    def _token(self, request: Request, endpoint: Optional[Endpoint]) -> Optional[Token]:
        if not self._needs_token():
            return None
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        if not text:
            raise ServiceProblem(401, "unauthorized", "Expected the header 'Authorization: Bearer TOKEN'.")
        token = self._tokens.find(text.strip()) if kind.lower() == "bearer" else None
        if token is None:
            address = _address(request)
            if wait_s := self._wrong.wait_s(address):
                raise ServiceProblem(429, "rate_limited", "Too many requests with wrong tokens.", retry_after_s=wait_s)
            self._wrong.count(address)
            raise ServiceProblem(401, "unauthorized", "The token is unknown, revoked or expired.")
        if endpoint is not None and not set(endpoint.scopes) & set(token.scopes):
            needed = " or ".join(endpoint.scopes)
            raise ServiceProblem(
                403, "forbidden", f"This call needs the scope {needed}, the token has {', '.join(token.scopes)}."
            )
        return token

    def _needs_token(self) -> bool:
        return bool(self._tokens.all()) or not self._settings.is_loopback or bool(self._settings.allowed_hosts)

    def _check_origin(self, request: Request) -> None:
        """Refuse requests that a page of another origin makes a browser send."""
        settings, host = self._settings, request.headers.get("host", "")
        if settings.is_loopback or settings.allowed_hosts:
            # A page can point its own host name to this machine's address (DNS rebinding).
            allowed = {*settings.allowed_hosts, *(LOOPBACK_NAMES if settings.is_loopback else ()), settings.host}
            name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
            if name.lower() not in allowed:
                raise ServiceProblem(403, "bad_host", "This host name is not allowed; --allowed_host NAME allows it.")
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise ServiceProblem(403, "bad_host", "Pages of other origins may not call this service.")

    def count(self, caller: str, number: int) -> None:
        """Count a request as `number` requests."""
        self._rates.count(caller, number)

    def hold(self, num_bytes: int) -> None:
        """Count bytes of a body as held; raise ServiceProblem if all bodies together are too large."""
        if self._held + num_bytes > self._settings.limits.max_bodies_bytes:
            raise ServiceProblem(503, "busy", "Too many uploads at once.", retry_after_s=1)
        self._held += num_bytes

    def release(self, num_bytes: int) -> None:
        """Count bytes as released."""
        self._held -= num_bytes


class _Call:
    """One request on its way through the gate."""

    def __init__(self, gate: Gate, request: Request, receive: Receive, send: Send) -> None:
        self._gate, self._request, self._receive, self._send = gate, request, receive, send
        self._limits = gate._settings.limits
        has_recordings = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
        self._max_bytes = self._limits.max_bytes if has_recordings else MAX_TEXT_BYTES
        self._id = uuid.uuid4().hex
        self._started = time.monotonic()
        self._endpoint = endpoint_of(request.method, request.url.path)
        self._token: Optional[Token] = None
        self._is_noted = False
        self._num_bytes = 0
        self._deadline: Optional[float] = None
        self._has_body = True  # more of the body may still arrive
        self._is_gone = False  # the caller disconnected before the whole body arrived
        self._body_read = asyncio.Event()

    async def serve(self) -> None:
        request = self._request
        state = request.state
        state.request_id, state.answer, state.code = self._id, "", ""
        try:
            try:
                self._token = self._gate.admit(request, self._endpoint)
                self._check_length()
            except ServiceProblem as problem:
                state.code = problem.code
                await self._run(problem_response(problem))
            else:
                await self._answer()
        finally:
            self._gate.release(self._num_bytes)
            with contextlib.suppress(OSError):  # the caller cannot be told any more
                self._note(NO_ANSWER)

    async def _answer(self) -> None:
        """Let the application answer; cancel it if the caller disconnects."""
        work = asyncio.create_task(self._run(self._gate._app))
        gone = asyncio.create_task(self._until_gone())
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.wait((work, gone))
        if not work.cancelled():
            work.result()

    async def _run(self, app: App) -> None:
        """Let an application answer; if the call cannot be recorded, report that instead of the answer."""
        scope = self._request.scope
        try:
            await app(scope, self.receive, self.send)
        except _NotNotedError as error:
            warn(f"a call was carried out but is not in the audit log: {error}")
            problem = _not_noted("The call was carried out; its answer is withheld.")
            await problem_response(problem)(scope, self.receive, self._send_as_is)

    async def _until_gone(self) -> None:
        """Wait until the caller disconnects or has its answer."""
        await self._body_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _check_length(self) -> None:
        length = self._request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._max_bytes:
            raise self._too_large()

    def _too_large(self) -> ServiceProblem:
        return ServiceProblem(413, "too_large", f"A request of this kind may have at most {self._max_bytes} bytes.")

    async def receive(self) -> Message:
        """Return the next part of the body, within the limits of size and time."""
        if not self._has_body:
            return await self._receive()  # a disconnect
        if self._deadline is None:
            self._deadline = time.monotonic() + self._limits.body_s
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._deadline - time.monotonic()))
        except TimeoutError:
            raise ServiceProblem(
                408, "timeout", f"The request did not arrive within {self._limits.body_s:g} s."
            ) from None
        if message["type"] == "http.request":
            num_bytes = len(message.get("body", b""))
            if self._num_bytes + num_bytes > self._max_bytes:
                raise self._too_large()
            self._gate.hold(num_bytes)
            self._num_bytes += num_bytes
            self._has_body = bool(message.get("more_body", False))
        else:
            self._has_body, self._is_gone = False, True
        if not self._has_body:
            self._body_read.set()
        return message

    async def send(self, message: Message) -> None:
        """Send a message of the application, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            try:
                self._note(NO_ANSWER if self._is_gone else message["status"])
            except OSError as error:
                raise _NotNotedError(error) from None
        await self._send_as_is(message)

    async def _send_as_is(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            is_call = _is_call(self._request)
            names = {name.lower() for name, _ in message["headers"]}
            more = {**HEADERS, "X-Request-Id": self._id}
            if b"cache-control" not in names:
                more["Cache-Control"] = "no-store" if is_call else "no-cache"
            if self._expects_body():
                more["Connection"] = "close"  # otherwise the server would go on reading the rest
            message["headers"] = [
                *message["headers"],
                *((name.lower().encode(), value.encode()) for name, value in more.items()),
            ]
        elif not message.get("more_body", False) and self._expects_body():
            await self._send({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    def _expects_body(self) -> bool:
        headers = self._request.headers
        declares = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        return self._has_body and declares

    async def _drain(self) -> None:
        """Read what still arrives, for up to DRAIN_S: closing the connection at once would lose the answer."""
        give_up = time.monotonic() + DRAIN_S
        while self._has_body and (left := give_up - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), left)
            except TimeoutError:
                return
            self._has_body = message["type"] == "http.request" and bool(message.get("more_body", False))

    def _note(self, status: int) -> None:
        """Record the call in metrics and audit log, once, and before the caller gets the answer."""
        if self._is_noted:
            return
        self._is_noted = True
        request, endpoint, seconds = self._request, self._endpoint, time.monotonic() - self._started
        call = f"{endpoint.method} {endpoint.path}" if endpoint else ("page" if not _is_call(request) else "none")
        self._gate._metrics.requests.labels(call, str(status)).inc()
        self._gate._metrics.seconds.labels(call).observe(seconds)
        if request.state.answer:
            self._gate._metrics.answers.labels(call, request.state.answer).inc()
        if request.state.code in COSTLY:
            self._gate.count(_caller(request, self._token), COSTLY_REQUESTS)
        if endpoint is not None and not endpoint.scopes or not _is_call(request):
            return  # nothing about a person
        if request.state.code == UNNOTED:
            return
        speaker = getattr(request.state, "speaker", None)
        self._gate._audit.write(
            {
                "request": self._id,
                "token": self._token.id if self._token else None,
                "address": _address(request),
                "call": call,
                "speaker": speaker,
                "status": status,
                "code": request.state.code or None,
                "answer": request.state.answer or None,
                "bytes": self._num_bytes,
                "ms": round(1000 * seconds),
            }
        )


class _NotNotedError(Exception):
    """A call was carried out, but the audit log cannot be written."""


def _not_noted(what_was_done: str) -> ServiceProblem:
    detail = f"Calls cannot be recorded in the audit log. {what_was_done}"
    return ServiceProblem(503, UNNOTED, detail, retry_after_s=5)


def problem_response(problem: ServiceProblem) -> JSONResponse:
    """Return a problem as an answer."""
    return JSONResponse(problem.content, problem.status_code, problem.headers, MEDIA_TYPE)


def _is_call(request: Request) -> bool:
    """Return whether a request is a call of the service, and not for the web page."""
    path = request.url.path
    return path.startswith("/v1/") or path in ("/v1", "/metrics")


def _caller(request: Request, token: Optional[Token]) -> str:
    return token.id if token else _address(request)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
