"""Call the service from Python; install with `pip install -e '.[client]'`.

    with Client("http://127.0.0.1:8000") as client:
        anna = client.enrol("Anna", ["anna1.flac", "anna2.flac"], consent="signed form, 2026-11-01")
        client.verify("a.flac", speaker=anna["id"])["answer"]  # "accept", "reject" or "inconclusive"
        client.identify("who.wav")["speaker"]  # {"id": ..., "name": "Anna"}, or None

Answers are dictionaries, as docs/service.md and the service's /v1/openapi.json describe them.
"""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Optional, Union

import httpx

from mindvox.errors import InputError
from mindvox.files import PathLike

VARIABLE = "MINDVOX_TOKEN"
TRY_AGAIN = (429, 503)
LONGEST_WAIT_S = 60.0  # longest wait before a retry; a locked speaker takes longer, so there is no retry
PAGE = 200

Recording = Union[PathLike, bytes, tuple[str, bytes]]
"""A file; the bytes of a file; or a name and the bytes."""


class ServiceError(InputError):
    """The service did not answer a call.

    Attributes:
        status: the HTTP status; 0: the service could not be reached.
        code: the reason, a code of docs/service.md, for example "no_such_speaker"; empty if there is none.
        problem: the whole problem that the service returned.
        retry_after_s: when to retry, in s; None: the service did not say.
    """

    def __init__(
        self, status: int, code: str, message: str, problem: dict[str, Any], retry_after_s: Optional[float] = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.problem, self.retry_after_s = status, code, problem, retry_after_s


class Client:
    """A client of the service. It serves many calls, also from several threads.

    Args:
        address: the address of the service.
        token: a token that `mindvox tokens add` printed; None: $MINDVOX_TOKEN, or no token if that is not set.
        timeout_s: longest wait for an answer in s.
        retries: how often a call is retried if the service is busy; the service says when.
        transport: the HTTP transport; for tests.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        token: Optional[str] = None,
        timeout_s: float = 120.0,
        retries: int = 3,
        transport: Optional[httpx.BaseTransport] = None,
    ) -> None:
        token = os.environ.get(VARIABLE) if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=address, headers=headers, timeout=timeout_s, transport=transport)
        self._retries = retries

    def verify(
        self, first: Recording, second: Optional[Recording] = None, speaker: Optional[str] = None
    ) -> dict[str, Any]:
        """Say whether two recordings, or a recording and an enrolled speaker, are the same person.

        Args:
            first: a recording.
            second: the recording to compare with.
            speaker: the id of the speaker to compare with.

        Raises:
            ValueError: neither or both of `second` and `speaker` are given.
            ServiceError: see the class; its code is "locked" after too many failed verifications of a speaker.
        """
        if (second is None) == (speaker is None):
            raise ValueError("verify: give a second recording, or the id of a speaker.")
        recordings = [first] if second is None else [first, second]
        return self._post("/v1/verify", recordings, speaker=speaker)

    def examine(self, recording: Recording) -> dict[str, Any]:
        """Return the quality of a recording, and why it cannot be used ("problem"; None: it can)."""
        return self._post("/v1/examine", [recording])

    def enrol(
        self,
        name: str,
        recordings: Sequence[Recording],
        consent: str = "",
        group: str = "",
        expires: Optional[str] = None,
    ) -> dict[str, Any]:
        """Enrol a speaker and return it, with its id.

        Args:
            name: the speaker's name; it must be free.
            recordings: one or more recordings; several are better.
            consent: what the person agreed to.
            group: name of a group, to which searches can be limited.
            expires: when to delete the speaker, ISO 8601; None: never.

        Raises:
            ServiceError: code "already_enrolled", or why the recordings cannot be used; `problem["enrolment"]` has the
                details.
        """
        return self._post("/v1/speakers", recordings, name=name, consent=consent, group=group, expires=expires)

    def add(self, speaker: str, recordings: Sequence[Recording]) -> dict[str, Any]:
        """Add recordings to the speaker with an id."""
        return self._post(f"/v1/speakers/{speaker}/recordings", recordings)

    def identify(self, recording: Recording, group: Optional[str] = None) -> dict[str, Any]:
        """Say which enrolled speaker speaks in a recording; "speaker" is None for a stranger."""
        return self._post("/v1/identify", [recording], group=group)

    def diarize(
        self,
        recording: Recording,
        num_speakers: Optional[int] = None,
        *,
        min_speakers: Optional[int] = None,
        max_speakers: Optional[int] = None,
        names: bool = False,
    ) -> dict[str, Any]:
        """Say who speaks when; with `names`, enrolled speakers get their names."""
        return self._post(
            "/v1/diarize",
            [recording],
            num_speakers=num_speakers,
            min_speakers=min_speakers,
            max_speakers=max_speakers,
            names="true" if names else None,
        )

    def embed(self, recording: Recording) -> list[float]:
        """Return the embedding of a recording, if the service allows embeddings."""
        return self._post("/v1/embed", [recording])["embedding"]

    def speakers(self, group: Optional[str] = None) -> Iterator[dict[str, Any]]:
        """Yield all speakers, or those of a group, in the order of their names."""
        after: Optional[str] = ""
        while after is not None:
            page = self._call("GET", "/v1/speakers", params=_given(after=after, limit=PAGE, group=group))
            yield from page["speakers"]
            after = page["next"]

    def find(self, name: str) -> Optional[dict[str, Any]]:
        """Return the speaker with a name; None: there is none."""
        found = self._call("GET", "/v1/speakers", params={"name": name})["speakers"]
        return found[0] if found else None

    def speaker(self, speaker: str) -> dict[str, Any]:
        """Return the speaker with an id."""
        return self._call("GET", f"/v1/speakers/{speaker}")

    def rename(self, speaker: str, name: str) -> dict[str, Any]:
        """Rename the speaker with an id."""
        return self._call("PATCH", f"/v1/speakers/{speaker}", json={"name": name})

    def delete(self, speaker: str) -> None:
        """Delete the speaker with an id."""
        self._call("DELETE", f"/v1/speakers/{speaker}")

    def ready(self) -> dict[str, Any]:
        """Return the service's model, engine and sizes; raise ServiceError if it cannot process requests."""
        return self._call("GET", "/v1/ready")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _post(self, path: str, recordings: Sequence[Recording], **fields: Any) -> dict[str, Any]:
        if isinstance(recordings, (str, bytes, Path)):
            raise ValueError("recordings: expected a list of recordings, got one.")
        files = [("recordings", _part(recording, number)) for number, recording in enumerate(recordings, 1)]
        return self._call("POST", path, files=files, data=_given(**fields))

    def _call(self, method: str, path: str, **content: Any) -> Any:
        for left in range(self._retries, -1, -1):
            try:
                answer = self._http.request(method, path, **content)
            except httpx.HTTPError as error:
                raise ServiceError(0, "", f"{self._http.base_url}: {error or type(error).__name__}.", {}) from None
            if answer.is_success:
                return answer.json() if answer.content else None
            problem = _error_of(answer)
            if not left or answer.status_code not in TRY_AGAIN or (problem.retry_after_s or 1.0) > LONGEST_WAIT_S:
                raise problem
            time.sleep(problem.retry_after_s or 1.0)
        raise AssertionError("the last try returns or raises")


def _given(**values: Any) -> dict[str, Any]:
    """Return the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _part(recording: Recording, number: int) -> tuple[str, bytes]:
    """Return the name and the bytes of a recording."""
    if isinstance(recording, tuple):
        return recording
    if isinstance(recording, bytes):
        return f"recording {number}", recording
    path = Path(recording)
    try:
        return path.name, path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}.") from None


def _error_of(answer: httpx.Response) -> ServiceError:
    try:
        problem = answer.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):  # the answer of a proxy, not of the service
        problem, code, detail = {}, "", answer.reason_phrase
    after = answer.headers.get("retry-after", "")
    message = f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {code}: {detail}"
    return ServiceError(answer.status_code, code, message, problem, float(after) if after.isdigit() else None)
