"""The calls of the service: the method, the path, and the token scope that each one needs."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Optional

from mindvox.service.tokens import ADMIN, ENROL, METRICS, READ


@dataclass(frozen=True)
class Endpoint:
    """One call.

    Args:
        method: the HTTP method.
        path: the path, with {names} for its variable parts.
        scopes: a token with any of these may call it; empty: no token is needed.
    """

    method: str
    path: str
    scopes: tuple[str, ...] = ()

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """A pattern that matches its paths."""
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))


VERIFY = Endpoint("POST", "/v1/verify", (READ,))
IDENTIFY = Endpoint("POST", "/v1/identify", (READ,))
EXAMINE = Endpoint("POST", "/v1/examine", (READ,))
DIARIZE = Endpoint("POST", "/v1/diarize", (READ,))
EMBED = Endpoint("POST", "/v1/embed", (ADMIN,))
LIST_SPEAKERS = Endpoint("GET", "/v1/speakers", (READ,))
CREATE_SPEAKER = Endpoint("POST", "/v1/speakers", (ENROL,))
SHOW_SPEAKER = Endpoint("GET", "/v1/speakers/{speaker}", (READ,))
RENAME_SPEAKER = Endpoint("PATCH", "/v1/speakers/{speaker}", (ADMIN,))
DELETE_SPEAKER = Endpoint("DELETE", "/v1/speakers/{speaker}", (ADMIN,))
ADD_RECORDINGS = Endpoint("POST", "/v1/speakers/{speaker}/recordings", (ENROL,))
HEALTH = Endpoint("GET", "/v1/health")
READY = Endpoint("GET", "/v1/ready")
DESCRIPTION = Endpoint("GET", "/v1/openapi.json")
METRICS_PAGE = Endpoint("GET", "/metrics", (METRICS, ADMIN))
ENDPOINTS = (
    *(VERIFY, IDENTIFY, EXAMINE, DIARIZE, EMBED, LIST_SPEAKERS, CREATE_SPEAKER, SHOW_SPEAKER, RENAME_SPEAKER),
    *(DELETE_SPEAKER, ADD_RECORDINGS, HEALTH, READY, DESCRIPTION, METRICS_PAGE),
)


def endpoint_of(method: str, path: str) -> Optional[Endpoint]:
    """Return the call that a request is for; None: there is no such call."""
    for endpoint in ENDPOINTS:
        if endpoint.method == method and endpoint.pattern.fullmatch(path):
            return endpoint
    return None
