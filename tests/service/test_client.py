"""`mindvox.client`: the service from Python."""

import inspect
import re
from pathlib import Path

import httpx
import pytest

import mindvox.client
from mindvox.client import Client, ServiceError
from mindvox.errors import InputError
from tests.service.calls import NOBODY
from tests.service.toys import recording, silence

PAGE = Path(__file__).resolve().parents[2] / "docs" / "service.md"
ADDRESS = '"http://127.0.0.1:8000"'


@pytest.fixture
def python(service, client):
    with Client(service.address, service.tokens["all"]) as caller:
        yield caller


def test_a_speaker_from_enrolment_to_deletion(python, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(recording(1))
    anna = python.enrol("Anna", [path, recording(1, 1), ("third.wav", recording(1, 2))], consent="on paper", group="g")
    assert [one["name"] for one in anna["recordings"]] == ["a.wav", "recording 2", "third.wav"]
    assert python.speaker(anna["id"])["consent"] == "on paper" == python.find("Anna")["consent"]
    assert python.verify(path, speaker=anna["id"])["answer"] == "accept"
    assert python.verify(path, recording(2))["answer"] == "reject"
    assert python.add(anna["id"], [recording(1, 4)])["num_recordings"] == 4
    assert python.identify(recording(1, 5))["speaker"]["id"] == anna["id"]
    assert python.identify(recording(1, 5), group="other")["speaker"] is None
    assert python.rename(anna["id"], "Anne")["name"] == "Anne" and python.find("Anna") is None
    assert python.examine(silence())["problem"]["code"] == "no_speech"
    assert len(python.embed(path)) == 80
    assert python.ready()["num_speakers"] == 1
    python.delete(anna["id"])
    assert list(python.speakers()) == []


def test_the_example_of_the_page_runs(service, client, tmp_path, monkeypatch, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example.count(ADDRESS) == 1
    for name, speaker, seed in (("anna1", 1, 0), ("anna2", 1, 1), ("a", 1, 2), ("other", 3, 0)):
        for ending in ("flac", "wav"):
            (tmp_path / f"{name}.{ending}").write_bytes(recording(speaker, seed, file_format=ending.upper()))
    (tmp_path / "who.wav").write_bytes(recording(2))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINDVOX_TOKEN", service.tokens["all"])
    exec(compile(example.replace(ADDRESS, repr(service.address)), str(PAGE), "exec"), {})
    assert capsys.readouterr().out.split() == ["accept", "None", "already_enrolled"]


def test_every_call_has_a_method(client):
    """Except for two calls for machines: the health check and the metrics."""
    done = {"/v1/health", "/metrics"}
    called = set(re.findall(r'"(/(?:v1|metrics)[^"]*)"', inspect.getsource(mindvox.client)))
    described = client.get("/v1/openapi.json").json()["paths"]
    assert called | done == set(described)


def test_all_pages_of_speakers_are_read(python, monkeypatch):
    monkeypatch.setattr("mindvox.client.PAGE", 2)
    for number in range(1, 6):
        python.enrol(f"speaker {number}", [recording(number)])
    assert [one["name"] for one in python.speakers()] == [f"speaker {number}" for number in range(1, 6)]


def test_a_problem_is_an_error_with_its_code(python, service, tmp_path):
    with pytest.raises(ServiceError, match="404 no_such_speaker") as caught:
        python.speaker(NOBODY)
    assert caught.value.status == 404 and caught.value.code == "no_such_speaker"
    with pytest.raises(ServiceError) as caught:
        python.enrol("Anna", [silence()])
    assert caught.value.code == "no_speech" and caught.value.problem["enrolment"]["enrolled"] is False
    with pytest.raises(InputError, match="No such file"):
        python.examine(tmp_path / "nothing.wav")
    with pytest.raises(ValueError, match="a second recording, or"):
        python.verify(silence())
    with pytest.raises(ValueError, match="expected a list"):
        python.enrol("Anna", "a.wav")
    with Client("http://127.0.0.1:9", retries=0) as nobody, pytest.raises(ServiceError) as caught:
        nobody.ready()
    assert caught.value.status == 0


def test_a_busy_service_is_asked_again(monkeypatch):
    waited, answers = [], [(503, "2"), (429, "7"), (200, "")]
    monkeypatch.setattr("mindvox.client.time.sleep", waited.append)

    def answer(request):
        assert request.headers["authorization"] == "Bearer mv_secret"
        status, after = answers.pop(0)
        return httpx.Response(status, json={"status": "ready"}, headers={"Retry-After": after} if after else {})

    monkeypatch.setenv("MINDVOX_TOKEN", "mv_secret")
    with Client("http://service", transport=httpx.MockTransport(answer)) as client:
        assert client.ready() == {"status": "ready"} and waited == [2, 7]
        answers[:] = [(503, "1")] * 4
        with pytest.raises(ServiceError):
            client.ready()
        assert not answers
        answers[:] = [(503, "3600")]
        with pytest.raises(ServiceError, match="503"):
            client.ready()
