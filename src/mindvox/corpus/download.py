"""Download large files: resume interrupted downloads, retry, and verify checksums.

Until a download is complete, it is `NAME.part`, with the validators of its source in `NAME.part.json`. Addresses and
credentials can be secret, so neither appears in files or messages.
"""

import base64
import email.utils
import errno
import hashlib
import http.client
import json
import netrc
import os
import random
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

from mindvox.errors import InputError, UsageError
from mindvox.files import PathLike, sync, write_json
from mindvox.progress import Progress

BLOCK_BYTES = 1 << 20
TIMEOUT_S = 60.0
MAX_WAIT_S = 120.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")
RETRIED_CODES = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Credentials:
    """A user's name and password for one server."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(...)"

    def header(self) -> str:
        """Return the value of the header Authorization."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class RemoteFile:
    """A file to download.

    Args:
        name: name of the local file.
        url: its address, which may contain a key.
        md5: checksum of the content, hexadecimal; None: unknown.
        credentials: for servers that require them.
    """

    name: str
    url: str
    md5: Optional[str] = None
    credentials: Optional[Credentials] = None

    def __repr__(self) -> str:
        return f"RemoteFile({self.name!r})"


def find_credentials(url: str, user_variable: str, password_variable: str) -> Optional[Credentials]:
    """Return the credentials from two environment variables, else those of ~/.netrc (or $NETRC) for the server.

    Raises:
        UsageError: only one of the variables is set, or the file cannot be read.
    """
    user, password = os.environ.get(user_variable), os.environ.get(password_variable)
    if user and password:
        return Credentials(user, password)
    if user or password:
        raise UsageError(f"{user_variable} and {password_variable}: set both or neither.")
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    if not path.exists():
        return None
    try:
        found = netrc.netrc(str(path)).authenticators(urlsplit(url).hostname or "")
    except (OSError, netrc.NetrcParseError) as error:
        # The text of the original error quotes the file.
        line_no = getattr(error, "lineno", None)
        raise UsageError(f"{path}: cannot be used{f' (line {line_no})' if line_no else ''}: see `man netrc`.") from None
    return Credentials(found[0], found[2]) if found and found[2] else None


def download(remote: RemoteFile, folder: PathLike, tries: int = 8, wait_s: float = 2.0) -> Path:
    """Download a file into a folder, or resume; return its path. An existing file is kept.

    Args:
        tries: number of consecutive attempts without progress before giving up.
        wait_s: pause before the second attempt, s; doubled for each further one.

    Raises:
        InputError: the server refuses or cannot be reached, the checksum is wrong, or the disk is full.
        UsageError: a password would be sent unencrypted.
    """
    path = Path(folder, remote.name)
    if path.exists():
        return path
    _check_encrypted(remote)
    path.parent.mkdir(parents=True, exist_ok=True)
    transfer = _Transfer(remote, path)
    transfer.run(tries, wait_s)
    if remote.md5 and transfer.md5() != remote.md5:
        transfer.discard()
        transfer.run(tries, wait_s)  # the parts may come from two versions of the file
        got = transfer.md5()
        if got != remote.md5:
            transfer.discard()
            raise InputError(
                f"{remote.name}: expected the md5 {remote.md5}, {transfer.host} sent {got}, twice. If the publisher "
                "has changed the file, give its new checksum with --md5."
            )
    transfer.finish()
    return path


def _check_encrypted(remote: RemoteFile) -> None:
    parts = urlsplit(remote.url)
    if parts.scheme not in ("http", "https"):
        raise UsageError(f"{remote.name}: expected an address that starts with https:// or http://.")
    if remote.credentials and parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise UsageError(f"{remote.name}: a password is not sent over http:// to {parts.hostname}: use https://.")


class _Retry(Exception):  # noqa: N818 - not an error yet
    """The attempt failed for a reason that may pass."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _Transfer:
    """One download with all its attempts."""

    def __init__(self, remote: RemoteFile, path: Path) -> None:
        self.remote = remote
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.state_path = path.with_name(path.name + ".part.json")
        self.host = urlsplit(remote.url).hostname
        self.progress: Optional[Progress] = None

    def run(self, tries: int, wait_s: float) -> None:
        failures = 0
        while True:
            before = self._num_bytes()
            try:
                self._attempt()
                return
            except _Retry as reason:
                failures = 1 if self._num_bytes() > before else failures + 1
                if failures >= tries:
                    raise InputError(
                        f"{self.remote.name}: {reason} ({failures} attempts). What has arrived is kept: run again."
                    ) from None
                backoff_s = wait_s * 2 ** (failures - 1) * random.uniform(0.5, 1.0)
                pause_s = min(MAX_WAIT_S, max(reason.wait_s, backoff_s))
                print(f"{self.remote.name}: {reason}; trying again in {pause_s:.0f} s", flush=True)
                time.sleep(pause_s)

    def md5(self) -> str:
        with open(self.part, "rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.state_path.unlink(missing_ok=True)

    def finish(self) -> None:
        sync(self.part)
        self.part.replace(self.path)
        self.state_path.unlink(missing_ok=True)

    def _num_bytes(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _attempt(self) -> None:
        """Request the missing part and append it; raise _Retry unless the file is then complete."""
        have, state = self._resumable()
        try:
            with self._open(have, state) as response:
                self._receive(response, have)
        except urllib.error.HTTPError as error:
            self._refused(error, have)
        except (ssl.SSLError, http.client.HTTPException, ConnectionError, TimeoutError, urllib.error.URLError) as error:
            if isinstance(getattr(error, "reason", error), ssl.SSLCertVerificationError):
                raise InputError(f"{self.remote.name}: the certificate of {self.host} is not valid.") from None
            raise _Retry(f"{self.host} {_why(error)}") from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise InputError(
                    f"{self.part}: the disk is full. What has arrived is kept: free some space and run again."
                ) from None
            raise

    def _resumable(self) -> tuple[int, dict[str, Any]]:
        """Return how many bytes can be kept, and their validators; without a validator only a checksum can verify
        them.
        """
        have = self._num_bytes()
        try:
            state = json.loads(self.state_path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            state = {}
        if not isinstance(state, dict) or not (state.get("validator") or self.remote.md5):
            return 0, {}
        return have, state

    def _open(self, have: int, state: dict[str, Any]) -> Any:
        request = urllib.request.Request(self.remote.url, headers={"Accept-Encoding": "identity"})
        if have:
            request.add_header("Range", f"bytes={have}-")
            if state.get("validator"):
                request.add_header("If-Range", state["validator"])
        if self.remote.credentials:
            # Not sent after a redirect: another server must not see it.
            request.add_unredirected_header("Authorization", self.remote.credentials.header())
        return urllib.request.build_opener(_SafeRedirects()).open(request, timeout=TIMEOUT_S)

    def _receive(self, response: Any, have: int) -> None:
        if response.status == 206:
            start, total = _content_range(response.headers.get("Content-Range", ""))
            if start != have:
                self.discard()
                raise _Retry(f"{self.host} sent another range than it was asked for")
        else:  # the whole file: the server does not support ranges, or the file has changed
            start = 0
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
        self._check_room(total)
        self._keep_validator(response.headers)
        self.progress = self.progress or Progress((total or 0) / 1e6, "MB")
        self.progress.restart(start / 1e6)
        with open(self.part, "r+b" if start else "wb") as stream:
            stream.truncate(start)
            stream.seek(start)
            while block := response.read(BLOCK_BYTES):
                stream.write(block)
                self.progress.show(len(block) / 1e6, f"{self.remote.name}: ")
        if total is not None and self._num_bytes() < total:
            raise _Retry(f"{self.host} closed the connection after {self._num_bytes()} of {total} bytes")
        if total is not None and self._num_bytes() > total:
            self.discard()
            raise _Retry(f"{self.host} sent more than the {total} bytes that it promised")

    def _check_room(self, total: Optional[int]) -> None:
        stat = os.statvfs(self.path.parent)
        free = stat.f_bavail * stat.f_frsize
        needed = 0 if total is None else total - self._num_bytes()
        if needed > free:
            raise InputError(
                f"{self.path.parent}: {self.remote.name} needs {needed / 1e9:.3f} GB, the disk has {free / 1e9:.3f} "
                "GB. Free some or choose another folder."
            )

    def _keep_validator(self, headers: Any) -> None:
        etag = headers.get("ETag", "")
        validator = etag if etag.startswith('"') else headers.get("Last-Modified", "")  # a weak ETag cannot join parts
        write_json(self.state_path, {"validator": validator})

    def _refused(self, error: urllib.error.HTTPError, have: int) -> None:
        code = error.code
        if code == 416 and have:  # nothing follows what is there
            _, total = _content_range(error.headers.get("Content-Range", ""))
            if total == have:
                return
            self.discard()
            raise _Retry(f"{self.host} has no byte {have}: starting from scratch") from None
        if code in RETRIED_CODES:
            raise _Retry(f"{self.host} answers {code} {error.reason}", _retry_after(error.headers)) from None
        advice = {
            401: "It asks for a user name and password: see docs/data.md.",
            403: "Access is denied: check the user name and password, or the key in the address.",
            404: "There is no such file: check the address.",
            410: "There is no such file any more: check the address.",
        }.get(code, "")
        raise InputError(f"{self.remote.name}: {self.host} answers {code} {error.reason}. {advice}".rstrip()) from None


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but not from https to http, and without sending credentials to another server."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if old.scheme == "https" and new.scheme != "https":
            raise InputError(f"{old.hostname} refers to an unencrypted address at {new.hostname}: not followed.")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        authorization = req.unredirected_hdrs.get("Authorization")
        if request is not None and authorization and (old.scheme, old.netloc) == (new.scheme, new.netloc):
            request.add_unredirected_header("Authorization", authorization)
        return request


def _content_range(value: str) -> tuple[Optional[int], Optional[int]]:
    """Return the first byte and the total of `bytes 5-9/10`, `bytes 5-9/*` or `bytes */10`."""
    unit, _, rest = value.partition(" ")
    span, _, total = rest.partition("/")
    start = span.partition("-")[0]
    if unit != "bytes":
        return None, None
    return (int(start) if start.isdecimal() else None), (int(total) if total.isdecimal() else None)


def _retry_after(headers: Any) -> float:
    value = headers.get("Retry-After", "") if headers else ""
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "does not answer"
    if isinstance(reason, http.client.IncompleteRead):
        return "closed the connection"
    return f"cannot be reached or broke off ({getattr(reason, 'strerror', None) or type(reason).__name__})"
