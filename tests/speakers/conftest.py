"""Stores of made-up embeddings."""

import numpy as np
import pytest

from mindvox.speakers.postgres_store import PostgresStore
from mindvox.speakers.sqlite_store import SqliteStore
from mindvox.speakers.store import ModelIdentity, Sample
from mindvox.speech.quality import Quality
from tests.speakers.postgres import Server, missing

EMB_SIZE = 16
MODEL = ModelIdentity("toy", "f" * 64, EMB_SIZE)
QUALITY = Quality(5.25, 4.5, -25.5, 0.0, None, 8000.0, 0.625)


class Clock:
    """A clock that the test sets."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server."""
    if missing():
        pytest.skip(f"not installed: {missing()}")
    server = Server()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def store(request, tmp_path, clock):
    """An empty store of either kind."""
    if request.param == "sqlite":
        opened = SqliteStore.open(tmp_path / "speakers.db", MODEL, clock=clock)
    else:
        server = request.getfixturevalue("postgres")
        server.empty()
        opened = PostgresStore.open(server.address, MODEL, clock=clock)
    with opened as store:
        yield store


def vector(seed, size=EMB_SIZE):
    """Return an embedding that no other seed has."""
    return np.random.default_rng(seed).standard_normal(size).astype(np.float32) * 3


def sample(seed, source="a.wav", net_speech_s=2.0):
    return Sample(vector(seed), source, net_speech_s)


def names_of(found):
    return [[match.name for match in matches] for matches in found]
