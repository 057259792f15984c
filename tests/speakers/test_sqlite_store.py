"""The files of SQLite's store: who reads them, what a deletion leaves, other processes, and damage."""

import os
import random
import sqlite3
import stat

import numpy as np
import pytest

from mindvox.errors import InputError
from mindvox.speakers.search import Vectors
from mindvox.speakers.sqlite_store import SqliteStore
from mindvox.speakers.store import ADD, REPLACE, ModelIdentity, NotErased, Sample, default_store, open_store
from tests.speakers.conftest import MODEL, names_of, sample, vector


@pytest.fixture
def store(tmp_path):
    with SqliteStore.open(tmp_path / "speakers.db", MODEL) as store:
        yield store


GRAM = 8  # bytes: two numbers of an embedding in a row


def stored_bytes(path):
    """Return the content of all files of a store."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))


def grams_of(data):
    return {data[first : first + GRAM] for first in range(len(data) - GRAM + 1)}


def test_a_store_is_kept_and_belongs_to_its_owner(tmp_path):
    path = tmp_path / "new" / "speakers.db"
    with SqliteStore.open(path, MODEL) as store:
        store.put("Anna", [sample(1)])
    with open_store(path) as store:
        assert store.model == MODEL and names_of(store.search(vector(1)[None])) == [["Anna"]]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_process_sees_each_change_at_once(tmp_path):
    path = tmp_path / "speakers.db"
    with SqliteStore.open(path, MODEL) as one, SqliteStore.open(path) as other:
        one.put("Anna", [sample(1)])
        one.put("Bert", [sample(2)])
        assert names_of(other.search(vector(1)[None])) == [["Anna"]]
        one.put("Anna", [sample(3)], mode=REPLACE)
        assert other.search(vector(3)[None])[0][0].score == pytest.approx(1, abs=1e-6)
        one.put("Carl", [sample(4)])
        one.rename("Carl", "Karl")
        assert names_of(other.search(vector(4)[None])) == [["Karl"]]
        one.delete("Karl")
        assert "Karl" not in names_of(other.search(vector(4)[None], k=9))[0]
        other.delete("Anna")
        assert names_of(one.search(vector(3)[None], k=9)) == [["Bert"]]


def test_a_deletion_leaves_no_bytes_of_the_embeddings_in_any_file(tmp_path):
    rng = random.Random(0)
    path = tmp_path / "speakers.db"
    model = ModelIdentity("toy", "0" * 64, 192)
    alive, dead = {}, []
    with SqliteStore.open(path, model) as store:
        store._connection.execute("PRAGMA synchronous = OFF")  # the same bytes, sooner
        for step in range(500):
            if rng.random() < 0.6 or not alive:
                vectors = [vector(1000 * step + number, 192) for number in range(rng.randint(1, 3))]
                name = rng.choice([f"name {step}", *alive])
                mode = REPLACE if name in alive and rng.random() < 0.5 else ADD
                before = alive.get(name, [])
                store.put(name, [Sample(one) for one in vectors], mode=mode)
                dead += before if mode == REPLACE else []
                alive[name] = vectors + (before if mode == ADD else [])
            else:
                name = rng.choice(list(alive))
                dead += [*alive.pop(name), store.get(name).centroid]
                store.delete(name)
        found = grams_of(stored_bytes(path))  # the store is open: the log is there
        for one in dead:
            assert not grams_of(one.tobytes()) & found
        for vectors in alive.values():
            assert all(grams_of(one.tobytes()) <= found for one in vectors)
    assert len(dead) > 200


def test_a_reader_delays_the_erasure_and_not_the_deletion(tmp_path, monkeypatch):
    path = tmp_path / "speakers.db"
    monkeypatch.setattr("mindvox.speakers.sqlite_store.WAIT_S", 0.1)
    with SqliteStore.open(path, MODEL) as store:
        store.put("Anna", [sample(1)])
        store.put("Bert", [sample(2)])
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM speakers").fetchall()
        with pytest.raises(NotErased, match="speakers purge"):
            store.delete("Anna")
        assert names_of(store.search(vector(1)[None], k=5)) == [["Bert"]]
        assert vector(1).tobytes() in stored_bytes(path)
        reader.execute("COMMIT")
        store.purge()
        assert vector(1).tobytes() not in stored_bytes(path)
        reader.close()


def test_the_next_to_open_erases_what_a_killed_process_left(tmp_path):
    path = tmp_path / "speakers.db"
    store = SqliteStore.open(path, MODEL)
    store.put("Anna", [sample(1)])
    store.erase = lambda: None
    store.delete("Anna")
    with SqliteStore.open(path):
        assert vector(1).tobytes() not in stored_bytes(path)
    store.close()


def test_the_audit_cannot_be_changed(store):
    store.put("Anna", [sample(1)])
    for statement in ("DELETE FROM audit", "UPDATE audit SET name = ''"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            store._connection.execute(statement)


def test_a_store_of_another_model_is_refused(tmp_path):
    SqliteStore.open(tmp_path / "speakers.db", MODEL).close()
    with pytest.raises(InputError, match=r"enrolled with the model toy \(ffffffffffff\), got other"):
        SqliteStore.open(tmp_path / "speakers.db", ModelIdentity("other", "0" * 64, 16))


def test_what_is_no_store_is_refused_and_stays_as_it_was(tmp_path):
    with pytest.raises(InputError, match="no store of speakers"):
        open_store(tmp_path / "missing.db")
    assert not (tmp_path / "missing.db").exists()
    (tmp_path / "empty.db").touch()
    with pytest.raises(InputError, match="an empty file"):
        open_store(tmp_path / "empty.db")
    (tmp_path / "text.db").write_text("no database" * 1000)
    with pytest.raises(InputError, match="expected a store of speakers"):
        open_store(tmp_path / "text.db", MODEL)
    assert (tmp_path / "text.db").read_text().startswith("no database")
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE a (b)")
    with pytest.raises(InputError, match="got another SQLite database"):
        open_store(tmp_path / "other.db", MODEL)
    assert (tmp_path / "other.db").read_bytes()[18] == 1  # not turned into one with a log


def test_a_store_of_another_format_says_what_to_do(tmp_path):
    with SqliteStore.open(tmp_path / "speakers.db", MODEL) as store:
        store._connection.execute("UPDATE about SET value = '9' WHERE key = 'format_version'")
    with pytest.raises(InputError, match=r"format 9, but this version reads 2.*speakers export"):
        open_store(tmp_path / "speakers.db", MODEL)


def test_an_error_within_a_change_leaves_nothing_of_it(store, monkeypatch):
    store.put("Anna", [sample(1)])
    monkeypatch.setattr("mindvox.speakers.sqlite_store._add_samples", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.put("Bert", [sample(2)])
    monkeypatch.undo()
    assert store.count() == 1 and len(store.audit()) == 1 and len(store.search(vector(2)[None], k=9)[0]) == 1


def test_rows_of_deleted_speakers_are_used_again(store):
    for number in range(20):
        store.put("Anna", [sample(number)])
        store.delete("Anna")
    assert store._connection.execute("SELECT count(*) FROM embeddings").fetchone()[0] == 1


def test_the_place_of_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MINDVOX_SPEAKERS", str(tmp_path / "mine.db"))
    SqliteStore.open(tmp_path / "mine.db", MODEL).close()
    open_store().close()
    monkeypatch.delenv("MINDVOX_SPEAKERS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_store() == os.path.join(tmp_path, "mindvox", "speakers.db")


def test_a_large_store_is_searched_as_double_precision_does(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((3000, 64))
    vectors[1000:1500] = vectors[:500] + 1e-7 * rng.standard_normal((500, 64))  # closer than single precision tells
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    found = Vectors(64)
    found.put_all(np.arange(1500), vectors[:1500])
    found.put_all(np.arange(1500, 3000), vectors[1500:])
    found.remove_all(range(0, 3000, 7))
    found.remove_all([0, 9999])  # not there
    kept = np.setdiff1d(np.arange(3000), np.arange(0, 3000, 7))
    queries = vectors[:200].astype(np.float64)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    exact = vectors[kept].astype(np.float64) @ queries.T
    for query, hits in zip(exact.T, found.search(queries, 10), strict=True):
        order = np.lexsort((kept, -np.round(query, 14)))[:10]
        assert [key for key, _ in hits] == kept[order].tolist()
        assert [score for _, score in hits] == pytest.approx(np.minimum(query[order], 1).tolist(), abs=1e-12)
