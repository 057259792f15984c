"""8-bit codes: the search is exact, and deleted speakers are erased from them."""

import json

import numpy as np
import pytest

from mindvox.speakers import sqlite_store
from mindvox.speakers.sqlite_store import SqliteStore
from mindvox.speakers.store import ADD, ModelIdentity, Sample, Speaker, Terms
from tests.speakers.conftest import names_of

pytest.importorskip("faiss")
from mindvox.speakers import codes
from mindvox.speakers.codes import CodedVectors, CodeFiles, write_codes

SIZE = 32
MODEL = ModelIdentity("toy", "c" * 64, SIZE)
COUNT = 600


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Use codes from 100 speakers on, in parts of 256."""
    monkeypatch.setattr(sqlite_store, "IN_MEMORY", 100)
    monkeypatch.setattr(codes, "PART_ROWS", 256)
    monkeypatch.setattr(codes, "LEAST_CHANGED", 20)
    monkeypatch.setattr(codes, "FEW_ALLOWED", 30)


def vectors_of(count, seed=0):
    """Return embeddings in clusters, so that many are similar."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((20, SIZE))
    return (centres[np.arange(count) % 20] + 0.1 * rng.standard_normal((count, SIZE))).astype(np.float32)


@pytest.fixture
def store(tmp_path):
    with SqliteStore.open(tmp_path / "speakers.db", MODEL) as store:
        speakers = [
            Speaker(f"{row:04}", (Sample(vector),), Terms("even" if row % 2 == 0 else "odd"))
            for row, vector in enumerate(vectors_of(COUNT))
        ]
        store.put_all(speakers)
        yield store


def exact(store, queries, k, keep=lambda name: True):
    """Return the names of the k nearest by double precision, and their scores."""
    names = [name for name in store.names() if keep(name)]
    centroids = np.stack([store.get(name).centroid for name in names]).astype(np.float64)
    order = {entry.name: entry.number for entry in store.audit(limit=10**6) if entry.action == "enrolled"}
    unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    found = []
    for scores in (centroids @ unit.T).T:
        best = sorted(range(len(names)), key=lambda row: (-scores[row], order[names[row]]))[:k]
        found.append([names[row] for row in best])
    return found


def test_the_search_is_exact(store):
    queries = vectors_of(40, 1).astype(np.float64)
    assert isinstance(store_vectors(store), CodedVectors)
    for k in (1, 7, COUNT, COUNT + 5):
        assert names_of(store.search(queries, k)) == exact(store, queries, k)
    one = queries[:1]  # by the threads, a part each
    assert names_of(store.search(one, 7)) == exact(store, one, 7)


def store_vectors(store):
    store.search(np.ones((1, SIZE)))
    return store._vectors


def test_the_search_asks_for_more_until_nothing_is_missing(store, monkeypatch):
    monkeypatch.setattr(codes, "SPARE", 0)
    queries = vectors_of(10, 2).astype(np.float64)
    assert names_of(store.search(queries, 3)) == exact(store, queries, 3)
    assert names_of(store.search(queries, 3, group="odd")) == exact(store, queries, 3, lambda name: int(name) % 2)


def test_candidates_can_be_limited(store):
    queries = vectors_of(10, 3).astype(np.float64)
    even = exact(store, queries, 5, lambda name: int(name) % 2 == 0)
    assert names_of(store.search(queries, 5, group="even")) == even
    few = [f"{row:04}" for row in range(10)]
    assert names_of(store.search(queries, 5, among=few)) == exact(store, queries, 5, lambda name: name in few)


def test_the_error_of_the_codes_is_what_it_says(tmp_path):
    unit = vectors_of(500)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    files = CodeFiles(tmp_path / "s.db", 7)
    keys = np.arange(500) * 3
    write_codes(files, SIZE, lambda: [(keys[:300], unit[:300]), (keys[300:], unit[300:])])
    about = json.loads(files.about.read_text())
    assert about["num_parts"] == 2 and 0 < about["error"] < 0.02
    coded = CodedVectors(files, SIZE, lambda wanted: (np.array(wanted), unit[np.array(wanted) // 3]))
    queries = vectors_of(30, 4).astype(np.float64)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    scores, rows, errors = coded._nearest(queries, 500)
    off = np.abs(scores - np.take_along_axis(queries @ unit.T.astype(np.float64), rows, axis=1)).max(axis=1)
    assert (off <= errors).all()
    assert (off > 0.1 * errors).all()  # the codes are of 8 bits
    assert (errors < 2.2 * about["error"]).all()  # those of codes and of queries are alike


def test_changes_are_followed_by_every_process(store, tmp_path):
    queries = vectors_of(5, 5).astype(np.float64)
    with SqliteStore.open(tmp_path / "speakers.db") as other:
        assert names_of(other.search(queries, 3)) == exact(store, queries, 3)
        nearest = store.search(queries, 1)[0][0].name
        store.delete(nearest)
        assert nearest not in names_of(other.search(queries, COUNT))[0]
        store.put("new", [Sample(queries[0].astype(np.float32))])
        assert names_of(other.search(queries[:1])) == [["new"]]
        store.put("0007", [Sample(queries[1].astype(np.float32))] * 9, mode=ADD)
        for one in (store, other):
            assert names_of(one.search(queries, 9)) == exact(store, queries, 9)


def code_of(store, name):
    """Return the code that a speaker's embedding has in the files."""
    numbers = np.rint(store.get(name).centroid * np.float32(store._vectors._scale))
    return (numbers + codes.ZERO).astype(np.uint8).tobytes()


def in_files(store, code):
    return any(code in path.read_bytes() for path in store._path.parent.glob(f"{store._path.name}*"))


def test_a_deletion_overwrites_the_code_whoever_deletes(store, tmp_path):
    store_vectors(store)
    first, second, third = (code_of(store, name) for name in ("0003", "0300", "0599"))
    assert in_files(store, first) and in_files(store, second) and in_files(store, third)
    store.delete("0003")
    with SqliteStore.open(tmp_path / "speakers.db") as other:  # which has never searched
        other.delete("0300")
        other.put("0599", [Sample(np.ones(SIZE, np.float32))], mode=ADD)
    assert not in_files(store, first) and not in_files(store, second) and not in_files(store, third)


def test_what_a_killed_process_left_in_the_codes_is_purged(store, monkeypatch):
    store_vectors(store)
    code = code_of(store, "0003")
    with monkeypatch.context() as patch:
        patch.setattr(CodeFiles, "erase", lambda *_: None)
        store.delete("0003")
    assert in_files(store, code)
    store.purge()
    assert not in_files(store, code)


def test_codes_are_made_again_when_much_has_changed(store, tmp_path):
    store_vectors(store)
    (before,) = CodeFiles.all_of(store._path)
    new = vectors_of(60, 6)
    store.put_all(Speaker(f"new {row}", (Sample(vector),)) for row, vector in enumerate(new))
    queries = vectors_of(20, 7).astype(np.float64)
    assert names_of(store.search(queries, 5)) == exact(store, queries, 5)
    (after,) = CodeFiles.all_of(store._path)
    assert after.number > before.number
    with SqliteStore.open(tmp_path / "speakers.db") as other:  # takes what is there
        assert names_of(other.search(queries, 5)) == exact(store, queries, 5)
        assert [files.number for files in CodeFiles.all_of(store._path)] == [after.number]


@pytest.mark.parametrize("damage", ["json", "npy", "faiss"])
def test_damaged_codes_are_made_again(store, tmp_path, damage):
    store_vectors(store)
    for path in tmp_path.glob(f"*.{damage}"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    queries = vectors_of(20, 8).astype(np.float64)
    with SqliteStore.open(tmp_path / "speakers.db") as other:
        assert names_of(other.search(queries, 5)) == exact(store, queries, 5)


def test_codes_of_another_format_are_made_again(store):
    store_vectors(store)
    (files,) = CodeFiles.all_of(store._path)
    about = json.loads(files.about.read_text())
    files.about.write_text(json.dumps({**about, "format_version": 1}))
    queries = vectors_of(20, 9).astype(np.float64)
    with SqliteStore.open(store._path) as other:
        assert names_of(other.search(queries, 5)) == exact(store, queries, 5)
    assert json.loads(files.about.read_text()) == about


def test_codes_are_their_owners(store, tmp_path):
    store_vectors(store)
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.glob("*-codes-*") if path.suffix != ".json"}
    assert modes == {0o600}
