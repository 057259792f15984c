"""The calls of the service: method, path, and the scope of a token that each one needs."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Optional

from mindvox.service.tokens import ADMIN, ENROL, METRICS, READ


@dataclass(frozen=True)
class Endpoint:
    """One call.

    Args:
        method: of HTTP.
        path: with {names} for what varies.
        scopes: each of which allows it; empty: no token is needed.
    """

    method: str
    path: str
    scopes: tuple[str, ...] = ()

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What its paths look like."""
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
    """Return the call that a request means; None: it is none."""
    for endpoint in ENDPOINTS:
        if endpoint.method == method and endpoint.pattern.fullmatch(path):
            return endpoint
    return None
