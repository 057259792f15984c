"""PostgreSQL's store: what a deletion leaves, a server that is killed, other processes, and messages."""

import random

import numpy as np
import pytest

from mindvox.errors import InputError
from mindvox.speakers.store import ADD, ModelIdentity, Sample, Speaker, Terms, open_store
from tests.speakers.conftest import MODEL, names_of, sample, vector
from tests.speakers.worker import samples_of, start

pytestmark = pytest.mark.slow  # the server takes seconds to start


@pytest.fixture
def server(postgres):
    postgres.empty()
    return postgres


def test_a_store_is_kept_and_of_one_model(server):
    with pytest.raises(InputError, match="no store of speakers"):
        open_store(server.address)
    with open_store(server.address, MODEL) as store:
        store.put("Anna", [sample(1)])
    with open_store(server.address) as store:
        assert store.model == MODEL and names_of(store.search(vector(1)[None])) == [["Anna"]]
    with pytest.raises(InputError, match="enrolled with the model toy"):
        open_store(server.address, ModelIdentity("other", "0" * 64, 16))


def test_messages_have_no_password(server):
    address = server.address.replace("speaker@", "speaker:secret@")
    with open_store(address, MODEL) as store, pytest.raises(InputError) as caught:
        store.get("nobody")
    assert "secret" not in str(caught.value) and "127.0.0.1" in str(caught.value)
    with pytest.raises(InputError) as caught:
        open_store("postgresql://speaker:secret@127.0.0.1:1/postgres")
    assert "secret" not in str(caught.value)


def test_after_an_erasure_no_file_has_the_embedding(server):
    with open_store(server.address, MODEL) as store:
        store.put_all(Speaker(str(number), tuple(samples_of(number))) for number in range(50))
        store.put("7", [sample(1000)], mode=ADD)
        gone = [one.embedding for one in store.get("7").samples] + [store.get("7").centroid]
        kept = store.get("8").samples[0].embedding
        store._kept.execute("CHECKPOINT")
        assert in_files(server, gone[0])
        store.delete("7")
        assert "7" not in names_of(store.search(gone[0][None], k=99))[0]
        store.purge()
        for one in gone:
            assert not in_files(server, one)
        assert in_files(server, kept) and store.count() == 49


def in_files(server, embedding):
    """Return whether files of the tables and indices contain two consecutive numbers of an embedding."""
    data = b"".join(path.read_bytes() for path in (server.folder / "base").rglob("*") if path.is_file())
    raw = embedding.tobytes()
    return any(raw[first : first + 8] in data for first in range(0, len(raw) - 7, 4))


def test_two_connections_see_each_other(server):
    with open_store(server.address, MODEL) as one, open_store(server.address) as other:
        one.put("Anna", [sample(1)], Terms("staff"))
        assert names_of(other.search(vector(1)[None])) == [["Anna"]]
        other.delete("Anna")
        assert one.search(vector(1)[None]) == [[]]


def test_the_search_is_that_of_double_precision(server):
    rng = np.random.default_rng(0)
    base = rng.standard_normal((40, 16))
    near = (base[np.arange(400) % 40] + 1e-7 * rng.standard_normal((400, 16))).astype(np.float32)
    with open_store(server.address, MODEL) as store:
        store.put_all(Speaker(f"{row:03}", (Sample(one),)) for row, one in enumerate(near))
        centroids = np.stack([store.get(f"{row:03}").centroid for row in range(400)]).astype(np.float64)
        queries = base[:5] / np.linalg.norm(base[:5], axis=1, keepdims=True)
        for query, found in zip(queries, names_of(store.search(queries, 5)), strict=True):
            order = np.lexsort((np.arange(400), -np.einsum("nd,d->n", centroids, query)))[:5]
            assert found == [f"{row:03}" for row in order]


def test_the_audit_cannot_be_changed(server):
    with open_store(server.address, MODEL) as store:
        store.put("Anna", [sample(1)])
        for statement in ("DELETE FROM mindvox_audit", "UPDATE mindvox_audit SET name = ''", "TRUNCATE mindvox_audit"):
            with pytest.raises(InputError, match="append-only"), store._writing() as run:
                run(statement)


@pytest.mark.parametrize("num_kills", [20])
def test_what_a_killed_server_had_confirmed_is_there(server, num_kills):
    rng = random.Random(1)
    for _ in range(num_kills):
        server.empty()
        worker = start(server.address, "enrol", 1000)
        num_acknowledged, wanted = 0, rng.randint(1, 400)
        for _line in worker.stdout:
            num_acknowledged += 1
            if num_acknowledged == wanted:
                server.kill()
        worker.communicate()
        server.start()
        with open_store(server.address, MODEL) as store:
            count = store.count()
            assert wanted <= num_acknowledged <= count <= num_acknowledged + 1
            for number in range(count):
                found = store.get(str(number)).samples
                assert [one.source for one in found] == [one.source for one in samples_of(number)]
                for one, other in zip(found, samples_of(number), strict=True):
                    assert np.array_equal(one.embedding, other.embedding)
            assert len(store.audit(limit=2000)) == count


def test_processes_enrol_identify_and_delete_at_once(server):
    workers = [start(server.address, "churn", number, 10) for number in range(4)]
    ends = [worker.communicate() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4, ends
    with open_store(server.address) as store:
        assert list(store.names()) == sorted(name for out, _ in ends for name in out.splitlines())


def test_a_lost_connection_is_made_again(server):
    with open_store(server.address, MODEL) as store:
        store.put("Anna", [sample(1)])
        server.kill()
        with pytest.raises(InputError, match="postgresql://127.0.0.1"):
            store.count()
        server.start()
        assert store.count() == 1
