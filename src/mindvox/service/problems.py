"""What a caller is told when there is no answer: problem details (RFC 9457) with a code that programs read."""

from typing import Any, Optional

from starlette.exceptions import HTTPException

TITLES = {
    "already_enrolled": "A speaker of this name is enrolled already",
    "audit_unavailable": "Calls cannot be noted at this moment",
    "bad_host": "Host or origin are not allowed",
    "busy": "Too much work at this moment",
    "decode_timeout": "The recording takes too long to decode",
    "different_voices": "The recordings are of different voices",
    "failed": "The service failed",
    "forbidden": "The token does not allow this",
    "invalid_request": "The request is not valid",
    "locked": "The speaker is locked after failed verifications",
    "method_not_allowed": "There is no such method here",
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
    "unsupported_format": "Nothing that is installed here reads the recording",
    "unusable": "The recording cannot be used",
}
MEDIA_TYPE = "application/problem+json"


class ServiceProblem(HTTPException):
    """Why a request has no answer.

    It is an HTTPException so that FastAPI lets it through while it reads a body.

    Args:
        status: of HTTP.
        code: one of TITLES.
        detail: what was expected, what came, what to do; it is shown to the caller.
        recording: the recording that it is about; None: it is about the request.
        retry_after_s: when to try again, s; None: that would not help.
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
        """The problem for JSON."""
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
