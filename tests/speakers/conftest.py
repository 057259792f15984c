"""Stores of made-up embeddings."""

import numpy as np
import pytest

from mindvox.speakers.sqlite_store import SqliteStore
from mindvox.speakers.store import ModelIdentity, Sample

EMB_SIZE = 16
MODEL = ModelIdentity("toy", "f" * 64, EMB_SIZE)


class Clock:
    """A time that the test sets."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    with SqliteStore.open(tmp_path / "speakers.db", MODEL, clock=clock) as store:
        yield store


def vector(seed, size=EMB_SIZE):
    """Return an embedding that no other seed has."""
    return np.random.default_rng(seed).standard_normal(size).astype(np.float32) * 3


def sample(seed, source="a.wav", net_speech_s=2.0):
    return Sample(vector(seed), source, net_speech_s)


def names_of(found):
    return [[match.name for match in matches] for matches in found]
