"""The answers of the calls."""

import json

import pytest

from tests.service.calls import NOBODY, enrol, files, problem_of
from tests.service.toys import SAME, encoded, recording, silence
from tests.speakers.toys import RATE, voice


def test_two_recordings_are_compared(client):
    same = client.post("/v1/verify", files=files(recording(1, 0), recording(1, 5))).json()
    assert same["answer"] == "accept" and same["score"] > SAME and same["llr"] is None
    assert same["meaning"] == "Both are the same person, by the thresholds."
    assert [one["name"] for one in same["recordings"]] == ["0.wav", "1.wav"]
    assert same["recordings"][0]["quality"]["net_speech_s"] == pytest.approx(3, abs=0.1)
    other = client.post("/v1/verify", files=files(recording(1, 0), recording(2, 0))).json()
    assert other["answer"] == "reject" and other["score"] < same["score"]


def test_a_recording_that_says_nothing_is_inconclusive(client):
    answer = client.post("/v1/verify", files=files(recording(1), silence()))
    found = answer.json()
    assert answer.status_code == 200 and found["answer"] == "inconclusive" and found["score"] is None
    assert found["recordings"][1]["problem"]["code"] == "no_speech"
    assert "no speech was found" in found["meaning"]


def test_examine_says_what_is_wrong(client):
    good = client.post("/v1/examine", files=files(recording(1))).json()
    assert good["problem"] is None and good["quality"]["duration_s"] == pytest.approx(3)
    short = client.post("/v1/examine", files=files(recording(1, duration_s=0.7))).json()
    assert short["problem"]["code"] == "too_short" and short["quality"]["net_speech_s"] < 1
    text = client.post("/v1/examine", files=files(b"no recording at all")).json()
    assert text["problem"] == {"code": "unusable", "text": "not a recording in a known format"}
    cut = client.post("/v1/examine", files=files(recording(1)[:20000])).json()
    assert cut["problem"]["code"] == "unusable" and "truncated" in cut["problem"]["text"]


def test_a_speaker_from_enrolment_to_deletion(client):
    anna = enrol(client, consent="on paper", group="staff", expires="2999-01-01T00:00:00Z")
    assert len(anna["id"]) == 32 and anna["num_recordings"] == 2 and anna["consent"] == "on paper"
    assert anna["net_speech_s"] == pytest.approx(6, abs=0.2) and anna["expires"] == "2999-01-01T00:00:00Z"
    place = f"/v1/speakers/{anna['id']}"
    assert client.get(place).json()["name"] == "Anna"
    found = client.post("/v1/verify", files=files(recording(1, 7)), data={"speaker": anna["id"]}).json()
    assert found["answer"] == "accept" and found["speaker"] == {"id": anna["id"], "name": "Anna"}
    assert len(found["recordings"]) == 1
    stranger = client.post("/v1/verify", files=files(recording(2)), data={"speaker": anna["id"]}).json()
    assert stranger["answer"] == "reject"
    added = client.post(f"{place}/recordings", files=files(recording(1, 2)))
    assert added.status_code == 200 and added.json()["num_recordings"] == 3 and added.json()["id"] == anna["id"]
    assert client.patch(place, json={"name": "Anne"}).json()["name"] == "Anne"
    assert client.post("/v1/identify", files=files(recording(1, 8))).json()["speaker"]["name"] == "Anne"
    assert client.delete(place).status_code == 204
    for answer in (client.get(place), client.delete(place), client.patch(place, json={"name": "Ann"})):
        problem_of(answer, 404, "no_such_speaker")
    problem_of(client.post(f"{place}/recordings", files=files(recording(1))), 404, "no_such_speaker")
    problem_of(client.post("/v1/verify", files=files(recording(1)), data={"speaker": NOBODY}), 404, "no_such_speaker")
    assert client.post("/v1/identify", files=files(recording(1, 8))).json()["answer"] == "unknown"


def test_identify_tells_strangers_from_speakers(client):
    anna, bert = enrol(client, "Anna", 1, group="a"), enrol(client, "Bert", 2, group="b")
    found = client.post("/v1/identify", files=files(recording(2, 9))).json()
    assert found["answer"] == "identified" and found["speaker"] == {"id": bert["id"], "name": "Bert"}
    assert {match["id"] for match in found["matches"]} == {anna["id"], bert["id"]}
    assert found["threshold"]["value"] == SAME and found["threshold"]["num_speakers"] == 2
    assert client.post("/v1/identify", files=files(recording(3))).json()["answer"] == "unknown"
    only = client.post("/v1/identify", files=files(recording(2, 9)), data={"group": "a"}).json()
    assert only["answer"] == "unknown" and [match["name"] for match in only["matches"]] == ["Anna"]
    silent = client.post("/v1/identify", files=files(silence())).json()
    assert silent["answer"] == "inconclusive" and silent["code"] == "no_speech" and silent["score"] is None


def test_a_name_is_enrolled_once(client):
    enrol(client)
    problem_of(client.post("/v1/speakers", files=files(recording(2)), data={"name": " Anna "}), 409, "already_enrolled")
    bert = enrol(client, "Bert", 2)
    problem_of(client.patch(f"/v1/speakers/{bert['id']}", json={"name": "Anna"}), 409, "already_enrolled")


def test_what_cannot_be_enrolled_says_why(client):
    def refused(code, *contents):
        answer = client.post("/v1/speakers", files=files(*contents), data={"name": "Anna"})
        return problem_of(answer, 422, code)

    refused("no_speech", silence())
    odd = refused("different_voices", recording(1, 0), recording(1, 1), recording(2))
    assert odd["enrolment"]["odd"] == ["2.wav"]
    assert refused("too_little_speech", recording(1, duration_s=1.5))["enrolment"]["taken"][0]["source"] == "0.wav"
    assert client.get("/v1/speakers").json()["speakers"] == []


def test_speakers_are_listed_in_pages(client):
    for number, name in enumerate(("Anna", "Bert", "Carl"), 1):
        enrol(client, name, number, group="a" if number < 3 else "b")
    first = client.get("/v1/speakers", params={"limit": 2}).json()
    assert [one["name"] for one in first["speakers"]] == ["Anna", "Bert"]
    second = client.get("/v1/speakers", params={"limit": 2, "after": first["next"]}).json()
    assert [one["name"] for one in second["speakers"]] == ["Carl"] and second["next"] is None
    grouped = client.get("/v1/speakers", params={"group": "b"}).json()["speakers"]
    assert [one["name"] for one in grouped] == ["Carl"]
    assert [one["name"] for one in client.get("/v1/speakers", params={"name": "Bert"}).json()["speakers"]] == ["Bert"]
    assert client.get("/v1/speakers", params={"name": "Nobody"}).json()["speakers"] == []


def test_names_of_recordings_lose_their_paths(client):
    names = ["../../etc/passwd", "C:\\voices\\a.wav", "..", "a\x00\n\x1b[31mb.wav", "x" * 300]
    answer = client.post(
        "/v1/speakers", files=files(*(recording(1, seed) for seed in range(5)), names=names), data={"name": "Anna"}
    )
    shown = [one["name"] for one in answer.json()["recordings"]]
    assert shown[:3] == ["passwd", "a.wav", "recording 3"] and len(shown[4]) == 100
    assert shown[3].isprintable()


@pytest.mark.parametrize(
    "path, contents, data",
    [
        ("/v1/verify", 1, {}),
        ("/v1/verify", 3, {}),
        ("/v1/verify", 2, {"speaker": NOBODY}),
        ("/v1/verify", 1, {"speaker": "../x"}),
        ("/v1/identify", 2, {}),
        ("/v1/identify", 0, {}),
        ("/v1/speakers", 1, {}),
        ("/v1/speakers", 1, {"name": ""}),
        ("/v1/speakers", 1, {"name": " "}),
        ("/v1/speakers", 1, {"name": "a\nb"}),
        ("/v1/speakers", 1, {"name": "x" * 201}),
        ("/v1/speakers", 1, {"name": "Anna", "expires": "soon"}),
        ("/v1/diarize", 1, {"num_speakers": "two"}),
        ("/v1/diarize", 1, {"num_speakers": "2", "min_speakers": "1", "max_speakers": "2"}),
        ("/v1/diarize", 1, {"min_speakers": "3", "max_speakers": "2"}),
    ],
)
def test_impossible_requests_are_refused(client, path, contents, data):
    made = files(*(silence(0.1) for _ in range(contents))) or None
    problem_of(client.post(path, files=made, data=data), 422, "invalid_request")


def test_json_is_checked(client):
    place = f"/v1/speakers/{NOBODY}"
    problem_of(client.patch(place, json={"name": "A", "id": "1"}), 422, "invalid_request")
    problem_of(client.patch(place, content=b"{", headers={"content-type": "application/json"}), 422, "invalid_request")
    large = json.dumps({"name": "A" * 70_000})
    problem_of(client.patch(place, content=large, headers={"content-type": "application/json"}), 413, "too_large")
    deep = b"[" * 50_000
    problem_of(client.patch(place, content=deep, headers={"content-type": "application/json"}), 400, "invalid_request")
    problem_of(client.get("/v1/speakers/../../etc/passwd"), 404, "not_found")
    problem_of(client.get("/v1/speakers/..%2f..%2fetc"), 404, "not_found")


def test_an_embedding_is_that_of_the_model(client, toy_home):
    import soundfile

    from mindvox.embedder import Embedder

    samples = voice(1, level=0.3)
    found = client.post("/v1/embed", files=files(encoded(samples))).json()
    read = soundfile.read(__import__("io").BytesIO(encoded(samples)), dtype="float32")[0]
    expected = Embedder.open(toy_home[1]).embed(read, RATE)
    assert found["embedding"] == pytest.approx(expected.tolist(), abs=1e-5) and len(found["fingerprint"]) == 64


@pytest.mark.parametrize("file_format", ["FLAC", "OGG", "AIFF", "CAF", "W64", "AU"])
def test_content_says_what_a_recording_is(client, file_format):
    made = [("recordings", ("a.txt", recording(1, file_format=file_format), "text/plain"))]
    assert client.post("/v1/examine", files=made).json()["problem"] is None


@pytest.mark.parametrize("container, codec", [("webm", "libopus"), ("mp4", "aac"), ("mp3", "libmp3lame")])
def test_what_browsers_record_is_read(client, container, codec):
    av = pytest.importorskip("av")
    import io

    stream = io.BytesIO()
    options = {"live": "1"} if container == "webm" else {}  # without a duration, as MediaRecorder writes it
    with av.open(stream, "w", format=container, options=options) as out:
        track = out.add_stream(codec, rate=48000, layout="mono")
        samples = (voice(1, level=0.3).repeat(3)[None] * 32767).astype("<i2")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 48000
        for packet in (*track.encode(frame), *track.encode(None)):
            out.mux(packet)
    found = client.post("/v1/examine", files=[("recordings", ("blob", stream.getvalue()))]).json()
    assert found["problem"] is None and found["quality"]["duration_s"] == pytest.approx(3, abs=0.1)
