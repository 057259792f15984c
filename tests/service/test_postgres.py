"""Two services on one PostgreSQL."""

import pytest

from tests.service.calls import enrol, files, problem_of
from tests.service.churn import Churn
from tests.service.running import Running
from tests.service.toys import recording
from tests.speakers.postgres import Server, missing

pytestmark = pytest.mark.slow  # the server takes seconds to start
OPTIONS = ("--num_workers=1", "--requests_per_minute=0")


@pytest.fixture(scope="module")
def database():
    if missing():
        pytest.skip(f"not installed: {missing()}")
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def pair(database, toy_home, tmp_path):
    """Two services, each with its own folder, as on two machines."""
    database.empty()
    first = Running(tmp_path / "first", *toy_home, *OPTIONS, store=database.address).start()
    second = Running(tmp_path / "second", *toy_home, *OPTIONS, store=database.address).start()
    yield first, second
    for running in (first, second):
        assert running.stop() in (0, -15), running.errors
        assert "Traceback" not in running.errors


def test_who_is_enrolled_at_one_is_found_at_the_other(pair):
    first, second = pair
    with first.client() as one, second.client() as other:
        anna = enrol(one)
        found = other.post("/v1/identify", files=files(recording(1, 2))).json()
        assert found["speaker"] == {"id": anna["id"], "name": "Anna"}
        assert other.patch(f"/v1/speakers/{anna['id']}", json={"name": "Anne"}).json()["name"] == "Anne"
        assert one.post("/v1/identify", files=files(recording(1, 2))).json()["speaker"]["name"] == "Anne"
        for client in (one, other, one, other, one):  # failures are counted in the store
            assert client.post("/v1/verify", files=files(recording(2)), data={"speaker": anna["id"]}).is_success
        problem_of(other.post("/v1/verify", files=files(recording(1)), data={"speaker": anna["id"]}), 423, "locked")
        assert other.delete(f"/v1/speakers/{anna['id']}").status_code == 204
        assert one.post("/v1/identify", files=files(recording(1, 2))).json()["answer"] == "unknown"
        problem_of(one.get(f"/v1/speakers/{anna['id']}"), 404, "no_such_speaker")


def test_what_a_killed_service_acknowledged_is_at_the_other(pair):
    first, second = pair
    churn = Churn(seed=3)
    for _ in range(3):
        churn.until_killed(first)
        churn.check(second)
        first.start()
    churn.check(first)


def test_a_database_that_goes_down_is_said_and_found_again(pair, database):
    with pair[0].client() as client:
        anna = enrol(client)
        database.kill()
        try:
            problem_of(client.get("/v1/ready"), 503, "store_unavailable")
            problem_of(client.get(f"/v1/speakers/{anna['id']}"), 503, "store_unavailable")
            problem_of(client.delete(f"/v1/speakers/{anna['id']}"), 503, "store_unavailable")
            two = files(recording(1), recording(1, 3))
            assert client.post("/v1/verify", files=two).json()["answer"] == "accept"  # which needs no store
        finally:
            database.start()
        assert client.get(f"/v1/speakers/{anna['id']}").json()["name"] == "Anna"
