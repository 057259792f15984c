"""Errors for callers: problem details (RFC 9457) with a code for programs."""

from typing import Any, Optional

from starlette.exceptions import HTTPException

TITLES = {
    "already_enrolled": "A speaker with this name is already enrolled",
    "audit_unavailable": "Calls cannot be recorded at the moment",
    "bad_host": "The host or the origin is not allowed",
    "busy": "The service is busy",
    "decode_timeout": "The recording takes too long to decode",
    "different_voices": "The recordings are of different voices",
    "failed": "The service failed",
    "forbidden": "The token does not allow this",
    "invalid_request": "The request is not valid",
    "locked": "The speaker is locked after failed verifications",
    "method_not_allowed": "This method is not allowed here",
    "no_speech": "There is no speech in the recording",
    "no_such_speaker": "There is no such speaker",
    "not_enabled": "This is not enabled here",
    "not_found": "There is nothing here",
    "rate_limited": "Too many requests",
    "several_speakers": "Several people seem to speak",
    "store_unavailable": "The store of speakers does not answer",
    "timeout": "The request was not finished in time",
    "too_large": "The request is too large",
    "too_little_speech": "There is too little speech in the recordings",
    "too_long": "The recording is too long",
    "too_noisy": "The recording is too noisy",
    "too_short": "There is too little speech in the recording",
    "unauthorized": "A token is needed",
    "unsupported_format": "No decoder for this kind of recording is installed",
    "unusable": "The recording cannot be used",
}
MEDIA_TYPE = "application/problem+json"


class ServiceProblem(HTTPException):
    """An error that is sent to the caller.

    It is an HTTPException so that FastAPI does not convert it while it reads a body.

    Args:
        status: the HTTP status.
        code: a key of TITLES.
        detail: what was expected, what arrived, and what to do; shown to the caller.
        recording: the recording that caused the problem; None: the request caused it.
        retry_after_s: when to retry, in s; None: a retry does not help.
        more: further facts for the caller, for JSON.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        recording: Optional[str] = None,
        retry_after_s: Optional[float] = None,
        more: Optional[dict[str, Any]] = None,
    ) -> None:
        headers = {} if retry_after_s is None else {"Retry-After": str(max(1, round(retry_after_s)))}
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        super().__init__(status, detail, headers)
        self.code, self.recording, self.more = code, recording, more or {}

    @property
    def content(self) -> dict[str, Any]:
        """The problem as values for JSON."""
        named = {} if self.recording is None else {"recording": self.recording}
        return {
            "type": f"urn:mindvox:problem:{self.code}",
            "title": TITLES[self.code],
            "status": self.status_code,
            "detail": self.detail,
            "code": self.code,
            **named,
            **self.more,
        }
