"""Stores of format 1, written by the version that did not store the quality of samples.

format_1/sqlite.sql is what `sqlite3.Connection.iterdump`, and format_1/postgres.sql what `pg_dump --inserts`, made of
these stores (without pg_dump's settings): Anna with two recordings, Bert with one, and a deleted speaker.
"""

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mindvox.errors import InputError
from mindvox.speakers.store import ADD, ModelIdentity, Terms, open_store
from tests.speakers.conftest import MODEL, QUALITY, names_of, sample, vector

FOLDER = Path(__file__).parent / "format_1"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def place(request, tmp_path):
    """The place of a store of format 1."""
    if request.param == "sqlite":
        connection = sqlite3.connect(tmp_path / "speakers.db")
        connection.executescript((FOLDER / "sqlite.sql").read_text())
        connection.close()
        return str(tmp_path / "speakers.db")
    import psycopg

    server = request.getfixturevalue("postgres")
    server.empty()
    with psycopg.connect(server.address) as connection:
        connection.execute((FOLDER / "postgres.sql").read_text())
    return server.address


def test_a_store_of_format_1_is_completed_and_keeps_everything(place):
    with open_store(place, MODEL) as store:
        anna = store.get("Anna")
        assert [(one.source, one.net_speech_s, one.added, one.quality) for one in anna.samples] == [
            ("a.wav", 3.5, 1e6, None),
            ("b.wav", 2.0, 1e6, None),
        ]
        assert np.array_equal(anna.samples[1].embedding, vector(2)) and anna.terms == Terms("staff", "yes")
        assert names_of(store.search(vector(3)[None])) == [["Bert"]] and len(store.audit()) == 4
        store.put("Anna", [replace(sample(5), quality=QUALITY)], mode=ADD)
    with open_store(place) as store:  # now of this format
        assert [one.quality for one in store.get("Anna").samples] == [None, None, QUALITY]
        assert store.get("Anna").id == anna.id and store.count() == 2


def test_a_store_of_another_model_stays_as_it_is(place):
    with pytest.raises(InputError, match="enrolled with the model toy"):
        open_store(place, ModelIdentity("other", "0" * 64, 16))
    with open_store(place, MODEL) as store:
        assert store.count() == 2
