"""A local HTTP server that can misbehave as real ones do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional


class FileServer:
    """What the server holds, how it misbehaves, and what it was asked.

    Args:
        files: content by path.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.drop_after: list[int] = []  # bytes after which the next connections break
        self.codes: list[int] = []  # answers to the next requests in place of files
        self.headers: dict[str, str] = {}  # added to such answers
        self.knows_ranges = True
        self.etag: Optional[str] = '"1"'
        self.password: Optional[str] = None  # value of Authorization that is asked for
        self.redirects: dict[str, str] = {}
        self.url = ""

    def ranges(self) -> list[Optional[str]]:
        return [headers.get("Range") for _, headers in self.requests]


class _Handler(BaseHTTPRequestHandler):
    state: FileServer

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:  # its name in http.server
        state = self.state
        state.requests.append((self.path, dict(self.headers)))
        if state.codes:
            return self._answer(state.codes.pop(0), state.headers)
        if self.path in state.redirects:
            return self._answer(302, {"Location": state.redirects[self.path]})
        if state.password and self.headers.get("Authorization") != state.password:
            return self._answer(401, {})
        content = state.files.get(self.path)
        if content is None:
            return self._answer(404, {})
        return self._send(content)

    def _answer(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes) -> None:
        state = self.state
        start = 0
        asked = self.headers.get("Range")
        is_same = self.headers.get("If-Range") in (None, state.etag)
        if asked and state.knows_ranges and is_same:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                return self._answer(416, {"Content-Range": f"bytes */{len(content)}"})
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if state.etag:
            self.send_header("ETag", state.etag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = start + state.drop_after.pop(0) if state.drop_after else len(content)
        self.wfile.write(content[start:stop])
        return None


@contextmanager
def serve(files: dict[str, bytes]) -> Iterator[FileServer]:
    state = FileServer(files)
    handler = type("Handler", (_Handler,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield state
        server.shutdown()
