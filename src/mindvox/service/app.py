"""The HTTP calls of the service."""

import asyncio
import contextlib
import re
import unicodedata
from collections.abc import AsyncIterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Optional

from fastapi import FastAPI, File, Form, Query, Request, Response, UploadFile
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.responses import JSONResponse

from mindvox.errors import InputError
from mindvox.service import endpoints as calls
from mindvox.service.endpoints import Endpoint
from mindvox.service.gate import App, Gate, problem_response
from mindvox.service.problems import MEDIA_TYPE, ServiceProblem
from mindvox.service.schemas import (
    SPEAKER_ID,
    DiarizeShape,
    EmbedShape,
    EnrolledShape,
    HealthShape,
    IdentifyShape,
    ProblemDetails,
    ReadyShape,
    RecordingShape,
    SpeakerShape,
    SpeakersShape,
    VerifyShape,
)
from mindvox.service.settings import Settings
from mindvox.service.telemetry import AuditLog, Metrics
from mindvox.service.tokens import TokenFile
from mindvox.service.voices import Upload, Voices
from mindvox.speakers.store import ID_PATTERN, MAX_NAME, NEVER, Terms
from mindvox.speakers.transfer import as_seconds

MAX_FIELDS = 20  # fields of a form, besides recordings
MAX_FIELD_BYTES = 16 << 10

MAX_SOURCE = 100  # characters of a recording's name
MAX_PAGE = 1000  # speakers
MAX_CONSENT = 2000  # characters
WEB = Path(__file__).parent / "web"
STATUS_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemDetails, "description": text, "content": {MEDIA_TYPE: {}}}
    for status, text in {
        400: "The request is not valid",
        401: "A token is needed",
        403: "The token, the host or the origin is not allowed",
        404: "There is no such speaker",
        408: "The request was too slow",
        409: "A speaker with this name is already enrolled",
        413: "The request or a recording is too large or too long",
        415: "No decoder for this kind of recording is installed",
        422: "The request is not valid, or a recording cannot be used",
        423: "The speaker is locked",
        429: "Too many requests",
        503: "The service is busy: see Retry-After",
    }.items()
}

Recordings = Annotated[
    list[UploadFile],
    File(min_length=1, description="Recordings in any format of browsers and telephones, one part each."),
]
SpeakerInPath = Annotated[str, InPath(pattern=f"^{ID_PATTERN}$", examples=[SPEAKER_ID])]
Name = Annotated[str, Form(min_length=1, max_length=MAX_NAME, examples=["Anna"])]
Group = Annotated[Optional[str], Form(max_length=MAX_NAME, description="Only speakers of this group.")]


class NewName(BaseModel):
    """A new name for a speaker."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=MAX_NAME, examples=["Anna"])


class _Routes:
    """The handlers of the calls; each one reads the request and calls `voices`."""

    def __init__(self, settings: Settings, voices: Voices, metrics: Metrics, tokens: TokenFile) -> None:
        self._settings, self._voices, self._metrics, self._tokens = settings, voices, metrics, tokens

    def add_to(self, app: FastAPI) -> None:
        def add(endpoint: Endpoint, function: Any, shape: Any, status: int = 200, **more: Any) -> None:
            app.add_api_route(
                endpoint.path,
                function,
                methods=[endpoint.method],
                response_model=shape,
                status_code=status,
                responses=PROBLEMS if endpoint.scopes else {},
                openapi_extra={"security": [{"token": []}]} if endpoint.scopes else None,
                **more,
            )

        add(calls.VERIFY, self.verify, VerifyShape)
        add(calls.IDENTIFY, self.identify, IdentifyShape)
        add(calls.EXAMINE, self.examine, RecordingShape)
        add(calls.DIARIZE, self.diarize, DiarizeShape)
        add(calls.EMBED, self.embed, EmbedShape)
        add(calls.LIST_SPEAKERS, self.list_speakers, SpeakersShape)
        add(calls.CREATE_SPEAKER, self.create_speaker, EnrolledShape, 201)
        add(calls.SHOW_SPEAKER, self.show_speaker, SpeakerShape)
        add(calls.RENAME_SPEAKER, self.rename_speaker, SpeakerShape)
        add(calls.DELETE_SPEAKER, self.delete_speaker, None, 204)
        add(calls.ADD_RECORDINGS, self.add_recordings, EnrolledShape)
        add(calls.HEALTH, self.health, HealthShape)
        add(calls.READY, self.ready, ReadyShape)
        add(calls.METRICS_PAGE, self.metrics, None, response_class=Response)

    async def verify(
        self,
        request: Request,
        recordings: Recordings,
        speaker: Annotated[
            Optional[str], Form(pattern=f"^{ID_PATTERN}$", description="Compare one recording with this speaker.")
        ] = None,
    ) -> dict[str, Any]:
        """Say whether two recordings, or a recording and an enrolled speaker, are the same person."""
        request.state.speaker = speaker
        uploads = await self._uploads(recordings, *((1, 1) if speaker else (2, 2)))
        if speaker:
            return _answered(request, await self._voices.verify_speaker(uploads[0], speaker))
        return _answered(request, await self._voices.verify(*uploads))

    async def identify(self, request: Request, recordings: Recordings, group: Group = None) -> dict[str, Any]:
        """Say which enrolled speaker speaks in a recording."""
        (upload,) = await self._uploads(recordings, 1, 1)
        return _answered(request, await self._voices.identify(upload, group or None))

    async def examine(self, recordings: Recordings) -> dict[str, Any]:
        """Say whether a recording is good enough, and return its measured quality."""
        (upload,) = await self._uploads(recordings, 1, 1)
        return await self._voices.examine(upload)

    async def diarize(
        self,
        recordings: Recordings,
        num_speakers: Annotated[Optional[int], Form(ge=1, le=100, description="How many; absent: estimated.")] = None,
        min_speakers: Annotated[Optional[int], Form(ge=1, le=100)] = None,
        max_speakers: Annotated[Optional[int], Form(ge=1, le=100)] = None,
        names: Annotated[bool, Form(description="Give enrolled speakers their names.")] = False,
    ) -> dict[str, Any]:
        """Say who speaks when in a recording."""
        (upload,) = await self._uploads(recordings, 1, 1)
        return await self._voices.diarize(upload, num_speakers, min_speakers, max_speakers, names)

    async def embed(self, recordings: Recordings) -> dict[str, Any]:
        """Return the embedding of a recording, if the service was started with --allow_embeddings."""
        if not self._settings.allow_embeddings:
            raise ServiceProblem(
                403, "not_enabled", "Embeddings are not enabled; `mindvox serve --allow_embeddings` enables them."
            )
        (upload,) = await self._uploads(recordings, 1, 1)
        return await self._voices.embed(upload)

    async def list_speakers(
        self,
        after: Annotated[str, Query(max_length=MAX_NAME, description="`next` of the previous page.")] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
        group: Annotated[Optional[str], Query(max_length=MAX_NAME)] = None,
        name: Annotated[
            Optional[str], Query(min_length=1, max_length=MAX_NAME, description="Only the speaker with this name.")
        ] = None,
    ) -> dict[str, Any]:
        """List speakers in the order of their names."""
        if name is not None:
            return await self._voices.list_named(name)
        return await self._voices.page(after, limit, group or None)

    async def create_speaker(
        self,
        request: Request,
        response: Response,
        recordings: Recordings,
        name: Name,
        consent: Annotated[str, Form(max_length=MAX_CONSENT, description="What the person agreed to.")] = "",
        group: Annotated[str, Form(max_length=MAX_NAME)] = "",
        expires: Annotated[
            Optional[str], Form(max_length=40, description="When to delete the speaker, ISO 8601; absent: never.")
        ] = None,
    ) -> dict[str, Any]:
        """Enrol a speaker from one or more recordings; several are better."""
        uploads = await self._uploads(recordings, 1, self._settings.limits.max_recordings)
        answer = await self._voices.enrol(name, Terms(group, consent, _moment(expires)), uploads)
        request.state.speaker = answer["id"]
        response.headers["Location"] = f"/v1/speakers/{answer['id']}"
        return answer

    async def show_speaker(self, request: Request, speaker: SpeakerInPath) -> dict[str, Any]:
        """Show the stored data of a speaker, without embeddings."""
        request.state.speaker = speaker
        return await self._voices.show(speaker)

    async def rename_speaker(self, request: Request, speaker: SpeakerInPath, change: NewName) -> dict[str, Any]:
        """Rename a speaker."""
        request.state.speaker = speaker
        return await self._voices.rename(speaker, change.name)

    async def delete_speaker(self, request: Request, speaker: SpeakerInPath) -> None:
        """Delete a speaker and the stored embeddings."""
        request.state.speaker = speaker
        await self._voices.delete(speaker)

    async def add_recordings(self, request: Request, speaker: SpeakerInPath, recordings: Recordings) -> dict[str, Any]:
        """Add recordings to a speaker."""
        request.state.speaker = speaker
        uploads = await self._uploads(recordings, 1, self._settings.limits.max_recordings)
        return await self._voices.add(speaker, uploads)

    async def health(self) -> dict[str, Any]:
        """Confirm that the service runs."""
        needs_token = bool(self._tokens.all())
        return {"status": "ok", "needs_token": needs_token, "allows_embeddings": self._settings.allow_embeddings}

    async def ready(self) -> dict[str, Any]:
        """Say whether the service can process requests."""
        voices = self._voices
        if not voices.pool.num_alive:
            raise voices.pool.no_worker()
        num_speakers = await voices.count()
        return {
            "status": "ready",
            "model": voices.store.model.name,
            "engine": voices.pool.engine,
            "num_workers": voices.pool.num_alive,
            "num_speakers": num_speakers,
        }

    async def metrics(self) -> Response:
        """Return metrics for Prometheus."""
        return Response(self._metrics.page(), media_type=CONTENT_TYPE_LATEST)

    async def _uploads(self, recordings: list[UploadFile], least: int, most: int) -> list[Upload]:
        """Return the recordings of a request; raise ServiceProblem for too few or too many."""
        if not least <= len(recordings) <= most:
            expected = str(least) if least == most else f"{least} to {most}"
            raise ServiceProblem(422, "invalid_request", f"recordings: expected {expected}, got {len(recordings)}.")
        return [
            Upload(_source(upload.filename, number), await upload.read()) for number, upload in enumerate(recordings, 1)
        ]


def create_app(settings: Settings, voices: Voices, tokens: TokenFile, audit: AuditLog) -> App:
    """Return the application.

    Args:
        settings: the settings of the service.
        voices: computes the answers; it must be started, and is closed with the application.
        tokens: the callers' tokens.
        audit: receives a line for each call.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(voices.close)

    # Recordings stay in memory: however the process ends, nothing is left on disk.
    MultiPartParser.spool_max_size = settings.limits.max_bytes
    metrics = Metrics(voices.pool)
    app = FastAPI(
        title="MindVox",
        version=_version(),
        description="Speaker verification: is this the same person, who is this, who spoke when? Errors are problem "
        "details (RFC 9457) with a `code`. If the service has tokens, send `Authorization: Bearer TOKEN`.",
        docs_url=None,  # its page loads scripts from other servers
        redoc_url=None,
        openapi_url=calls.DESCRIPTION.path,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        form_limits={
            "max_files": settings.limits.max_recordings,
            "max_fields": MAX_FIELDS,
            "max_part_size": MAX_FIELD_BYTES,
        },
    )
    _Routes(settings, voices, metrics, tokens).add_to(app)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(InputError, _on_input)
    app.add_exception_handler(Exception, _on_failure)
    app.openapi_schema = _described(app)
    if WEB.is_dir():
        app.mount("/", StaticFiles(directory=WEB, html=True), name="page")
    return Gate(app, settings, tokens, metrics, audit)


def _described(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description of the calls, with the security scheme for tokens."""
    description = app.openapi()
    schemes = {"token": {"type": "http", "scheme": "bearer", "description": "`mindvox tokens add` makes one."}}
    description.setdefault("components", {})["securitySchemes"] = schemes
    return description


def _version() -> str:
    try:
        return version("mindvox")
    except PackageNotFoundError:  # run from the source tree
        return "0"


def _answered(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
    request.state.answer = answer["answer"]
    return answer


def _source(given: Optional[str], number: int) -> str:
    """Return a recording's name: the printable characters of the file name that the caller gave, without its folder."""
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", given or "")[-1])
    name = "".join(character for character in name if character.isprintable())[:MAX_SOURCE].strip()
    return name if name.strip(".") else f"recording {number}"


def _moment(text: Optional[str]) -> float:
    if not text:
        return NEVER
    try:
        return as_seconds(text)
    except (ValueError, OverflowError):
        raise ServiceProblem(
            422, "invalid_request", "expires: expected a date in ISO 8601, e.g. 2027-11-27T09:30:00Z."
        ) from None


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if not isinstance(error, ServiceProblem):
        code = STATUS_CODES.get(error.status_code, "invalid_request")
        headers = dict(error.headers or {})
        error = ServiceProblem(error.status_code, code, str(error.detail))
        error.headers = headers
    return _told(request, error)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = [f"{'.'.join(map(str, one['loc'][1:])) or one['loc'][0]}: {one['msg']}" for one in error.errors()[:5]]
    return _told(request, ServiceProblem(422, "invalid_request", "; ".join(found)))


async def _on_input(request: Request, error: Exception) -> JSONResponse:
    return _told(request, ServiceProblem(422, "invalid_request", str(error)))


async def _on_failure(request: Request, error: Exception) -> JSONResponse:
    detail = f"The service failed on this request; see its log for request {request.state.request_id}."
    return _told(request, ServiceProblem(500, "failed", detail))


def _told(request: Request, problem: ServiceProblem) -> JSONResponse:
    request.state.code = problem.code
    return problem_response(problem)
