"""One service for the tests of a session, with a model that loads at once."""

import asyncio

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("onnx")

import httpx

from mindvox.service.tokens import TokenFile
from tests.service.running import Running
from tests.service.toys import write_home

NO_RATE = "--requests_per_minute=0"


class InProcess:
    """A client of an application in this process."""

    def __init__(self, app):
        self._app = app

    def get(self, path, **more):
        return asyncio.run(self._send("GET", path, **more))

    def post(self, path, **more):
        return asyncio.run(self._send("POST", path, **more))

    async def _send(self, method, path, **more):
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **more)


@pytest.fixture(scope="session")
def toy_home(tmp_path_factory):
    """A folder for models, and the model of speakers in it."""
    home = tmp_path_factory.mktemp("home")
    return home, write_home(home)


@pytest.fixture(scope="session")
def service(toy_home, tmp_path_factory):
    """A service with tokens, one worker and no rate limit."""
    folder = tmp_path_factory.mktemp("service")
    running = Running(folder, *toy_home, "--num_workers=1", NO_RATE, "--allow_embeddings").start()
    yield running
    assert running.stop() in (0, -15), running.errors


@pytest.fixture
def application(toy_home, tmp_path):
    """Make an application in this process, with tokens and without workers, and return a client for it."""
    from mindvox.service.app import create_app
    from mindvox.service.settings import Settings
    from mindvox.service.telemetry import AuditLog
    from mindvox.service.voices import Voices

    opened = []

    def made(limits):
        tokens = TokenFile(tmp_path / "tokens.json")
        settings = Settings(
            model=str(toy_home[1]),
            store=str(tmp_path / "speakers.db"),
            tokens=tokens.path,
            num_workers=1,
            limits=limits,
        )
        voices = Voices(settings)
        opened.append(voices)
        app = create_app(settings, voices, tokens, AuditLog(tmp_path / "audit.jsonl"))
        return InProcess(app), tokens

    yield made
    for voices in opened:
        voices.close()


@pytest.fixture
def client(service):
    """A client with all scopes; the store is emptied after the test."""
    with service.client() as caller:
        yield caller
        for speaker in caller.get("/v1/speakers", params={"limit": 1000}).json()["speakers"]:
            caller.delete(f"/v1/speakers/{speaker['id']}")
