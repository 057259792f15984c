"""Hostile input: broken audio, decompression bombs, endless and slow senders, and workers that die."""

import io
import os
import random
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mindvox.service.sniff import KINDS, kind_of
from tests.service.calls import files, problem_of
from tests.service.churn import Churn
from tests.service.running import Running, until
from tests.service.toys import encoded, recording
from tests.speakers.toys import voice

NUM_MUTATIONS = 100
PART = b'--b\r\nContent-Disposition: form-data; name="recordings"; filename="a"\r\n\r\n'
STRICT = ("--max_bytes=700000", "--body_s=1.5", "--header_s=1", "--decode_s=1.5", "--max_recording_s=10")


@pytest.fixture(scope="module")
def strict(toy_home, tmp_path_factory):
    """A service with small limits."""
    folder = tmp_path_factory.mktemp("strict")
    running = Running(
        folder, *toy_home, "--num_workers=1", "--requests_per_minute=0", "--max_waiting=2", *STRICT
    ).start()
    yield running
    assert running.stop() in (0, -15), running.errors
    assert "Traceback" not in running.errors


@pytest.fixture
def caller(strict):
    with strict.client() as client:
        yield client


def seeds():
    """Return a recording of each kind that can be made here, as bytes."""
    samples = voice(1, 0, 1.5, level=0.3)
    found = {name: encoded(samples, name) for name in ("WAV", "FLAC", "OGG", "AIFF", "AU", "CAF", "W64", "MP3")}
    try:
        import av
    except ImportError:
        return found
    for container, codec in (("webm", "libopus"), ("mp4", "aac")):
        stream = io.BytesIO()
        with av.open(stream, "w", format=container) as out:
            track = out.add_stream(codec, rate=48000, layout="mono")
            planar = samples.repeat(3)[None].astype("<f4")
            frame = av.AudioFrame.from_ndarray(planar, format="fltp", layout="mono")
            frame.sample_rate = 48000
            resampler = av.AudioResampler(format=track.format, layout="mono", rate=48000)
            for part in resampler.resample(frame):
                for packet in track.encode(part):
                    out.mux(packet)
            for packet in track.encode(None):
                out.mux(packet)
        found[container] = stream.getvalue()
    return found


def mutated(content, chance):
    """Return a recording with bytes changed, cut, repeated or moved; its first bytes mostly stay."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 3, 30))):
        if len(changed) < 16:
            break
        place = chance.randrange(chance.choice((64, 512, len(changed)))) % len(changed)
        kind = chance.randrange(6)
        if kind == 0:
            changed[place] = chance.randrange(256)
        elif kind == 1:
            changed[place : place + 4] = chance.choice((b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff"))
        elif kind == 2:
            changed = changed[: max(12, place)]
        elif kind == 3:
            changed[place:place] = changed[place : place + chance.randrange(1, 400)]
        elif kind == 4:
            del changed[place : place + chance.randrange(1, 400)]
        else:
            changed[place : place + 8] = chance.randbytes(8)
    return bytes(changed) or b"\x00"


def send_mutations(running, number, seed):
    """Send mutated recordings to different calls and check each answer."""
    chance, kinds, counts = random.Random(seed), list(seeds().values()), {}
    with running.client() as client:
        for count in range(number):
            content = mutated(chance.choice(kinds), chance)
            if count % 4 == 0:
                answer = client.post("/v1/verify", files=files(content, kinds[0]))
            elif count % 4 == 1:
                answer = client.post("/v1/speakers", files=files(content), data={"name": f"mutant {count}"})
            else:
                answer = client.post("/v1/examine", files=files(content))
            counts[answer.status_code] = counts.get(answer.status_code, 0) + 1
            assert answer.status_code < 500 and "Traceback" not in answer.text, (count, answer.text)
            answer.json()
    return counts


def test_mutated_recordings_are_answered(service, client):
    counts = send_mutations(service, NUM_MUTATIONS, seed=1)
    assert counts[200] > NUM_MUTATIONS / 4 and "Traceback" not in service.errors
    assert not service.left_behind()


@pytest.mark.slow
def test_many_mutated_recordings_leave_nothing_behind(service, client):
    send_mutations(service, 1500, seed=2)
    memory = service.memory()
    send_mutations(service, 8500, seed=3)
    assert service.memory() < 1.05 * memory
    assert not service.left_behind() and "Traceback" not in service.errors


def test_a_bomb_is_too_long(caller):
    silent = encoded(np.zeros(16000 * 3600, np.int16), "FLAC")  # an hour
    assert len(silent) < 300_000
    found = problem_of(caller.post("/v1/verify", files=files(silent, silent)), 413, "too_long")
    assert found["recording"] == "0.wav" and "longer than 10 s" in found["detail"]
    endless = bytearray(encoded(np.zeros(1000, np.int16)))
    endless[40:44] = b"\xff\xff\xff\xff"  # samples that the header promises
    assert caller.post("/v1/examine", files=files(bytes(endless))).status_code in (200, 413)
    lying = encoded(np.zeros(30000, np.int16), "AU")
    slow = lying[:16] + (2000).to_bytes(4, "big") + lying[20:]  # 15 s
    problem_of(caller.post("/v1/examine", files=files(slow)), 413, "too_long")
    slower = lying[:16] + (1).to_bytes(4, "big") + lying[20:]
    assert caller.post("/v1/examine", files=files(slower)).json()["problem"]["code"] == "unusable"


def test_a_recording_that_takes_long_to_decode_is_stopped(strict, caller):
    until(strict.worker_ids)
    (before,) = strict.worker_ids()
    os.kill(before, signal.SIGSTOP)  # in place of a recording that keeps the decoder busy
    started = time.monotonic()
    problem_of(caller.post("/v1/examine", files=files(recording(1))), 422, "decode_timeout")
    assert time.monotonic() - started < 6
    assert caller.post("/v1/examine", files=files(recording(1))).json()["problem"] is None
    assert strict.worker_ids() != [before]
    assert "mindvox_worker_restarts 1.0" in caller.get("/metrics").text


def test_a_worker_that_dies_is_started_again(strict, caller):
    until(strict.worker_ids)
    (worker,) = strict.worker_ids()
    os.kill(worker, signal.SIGKILL)
    answer = caller.post("/v1/examine", files=files(recording(1)))
    assert answer.status_code in (200, 422)
    assert caller.post("/v1/examine", files=files(recording(1))).json()["problem"] is None
    assert worker not in strict.worker_ids()


def test_what_is_too_large_is_refused(strict, caller):
    large = bytes(800_000)
    problem_of(caller.post("/v1/examine", files=files(large)), 413, "too_large")
    many = files(*(b"RIFF" for _ in range(30)))
    problem_of(caller.post("/v1/speakers", files=many, data={"name": "A"}), 400, "invalid_request")
    fields = {f"field{number}": "x" for number in range(50)}
    problem_of(caller.post("/v1/identify", files=files(b"x"), data=fields), 400, "invalid_request")
    long_field = {"group": "x" * 100_000}
    problem_of(caller.post("/v1/identify", files=files(b"x"), data=long_field), 400, "invalid_request")


def ask(strict, start, parts, pause_s=0.0, wait_s=10.0):
    """Send bytes, part by part; return what the service answers until it closes the connection, and the time taken."""
    started = time.monotonic()
    answer = b""
    with socket.create_connection(("127.0.0.1", strict.port), timeout=wait_s) as connection:
        try:
            connection.sendall(start)
            for part in parts:
                connection.sendall(part)
                time.sleep(pause_s)
        except OSError:  # it was cut off
            pass
        try:
            while block := connection.recv(1 << 16):
                answer += block
        except OSError:
            pass
    return answer, time.monotonic() - started


def head(strict, *lines):
    token = strict.tokens["all"]
    known = ("Host: 127.0.0.1", f"Authorization: Bearer {token}", "Content-Type: multipart/form-data; boundary=b")
    return "\r\n".join(("POST /v1/examine HTTP/1.1", *known, *lines, "", "")).encode()


def test_endless_uploads_are_cut(strict):
    start = head(strict, "Transfer-Encoding: chunked") + f"{len(PART):x}\r\n".encode() + PART + b"\r\n"
    parts = (b"10000\r\n" + bytes(1 << 16) + b"\r\n" for _ in range(100_000))
    with ThreadPoolExecutor(2) as threads:
        endless = threads.submit(ask, strict, start, parts)
        declared = threads.submit(ask, strict, head(strict, "Content-Length: 99999999999"), ())
    answer, seconds = endless.result()
    assert (b"413" in answer.partition(b"\r\n")[0] or not answer) and seconds < 6
    answer, seconds = declared.result()
    assert b"413" in answer and b"too_large" in answer and seconds < 5


def test_slow_senders_are_cut(strict):
    parts = (b"-" for _ in range(100))
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(ask, strict, head(strict, "Content-Length: 1000") + PART, parts, pause_s=0.2)
        silent = threads.submit(ask, strict, head(strict, "Content-Length: 1000"), ())
    answer, seconds = slow.result()
    assert seconds < 25 and (b" 408 " in answer or not answer)
    answer, seconds = silent.result()
    assert b" 408 " in answer and b'"code":"timeout"' in answer and seconds < 6


def test_slow_headers_are_cut(strict):
    starts = (b"", b"GET /v1/health HT", b"GET /v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
    with ThreadPoolExecutor(len(starts)) as threads:
        for answer, seconds in threads.map(lambda start: ask(strict, start, ()), starts):
            assert answer == b"" and seconds < 4


def test_large_headers_are_refused(strict):
    answer, _ = ask(strict, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", ())
    assert answer.startswith(b"HTTP/1.1 400") or not answer


def test_a_full_queue_is_refused_while_health_answers(strict, caller):
    content = recording(1, 0, 9.0)

    def examine(_):
        return caller.post("/v1/examine", files=files(content))

    with ThreadPoolExecutor(24) as threads:
        answers = threads.map(examine, range(24))
        started = time.monotonic()
        assert caller.get("/v1/health").status_code == 200
        assert time.monotonic() - started < 2
        answers = list(answers)
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    refused = next(answer for answer in answers if answer.status_code == 503)
    problem_of(refused, 503, "busy")
    assert int(refused.headers["retry-after"]) >= 1


def test_every_kind_is_known_by_its_first_bytes():
    for name, content in seeds().items():
        assert kind_of(content) is not None, name
    for content in (b"", b"\x00" * 100, b"#EXTM3U\nhttp://x/a.ts", b"<html>", b"PK\x03\x04", b"\x89PNG\r\n", b"MZ"):
        assert kind_of(content) is None
    assert len({kind for kind, _ in KINDS}) == len(KINDS)


def test_a_list_of_addresses_opens_none_of_them(service, client):
    """A playlist behind a tag that looks like an MP3 must not make the decoder fetch anything."""
    pytest.importorskip("av")
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.5)
        port = trap.getsockname()[1]
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n"
        tagged = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + playlist.encode()
        for content in (tagged, playlist.encode()):
            answer = client.post("/v1/examine", files=[("recordings", ("a.m3u8", content))])
            assert answer.json()["problem"]["code"] == "unusable"
        with pytest.raises(TimeoutError):
            trap.accept()


@pytest.mark.slow
def test_what_was_acknowledged_survives_twenty_kills(toy_home, tmp_path):
    running = Running(tmp_path, *toy_home, "--num_workers=1", "--requests_per_minute=0")
    churn = Churn(seed=20)
    for _ in range(20):
        churn.until_killed(running.start())
    churn.check(running.start())
    assert running.stop() in (0, -15), running.errors


def test_two_services_share_a_store_through_an_end_and_a_kill(service, client, toy_home):
    second = Running(service.folder, *toy_home, "--num_workers=1", "--requests_per_minute=0", needs_token=False)
    second.tokens = service.tokens
    second.start()
    with second.client() as other:
        anna = client.post("/v1/speakers", files=files(recording(1)), data={"name": "Anna"}).json()
        assert other.post("/v1/identify", files=files(recording(1, 2))).json()["speaker"]["id"] == anna["id"]
        for caller in (client, other, client, other, client):  # failures are counted in the store
            caller.post("/v1/verify", files=files(recording(2)), data={"speaker": anna["id"]})
        problem_of(other.post("/v1/verify", files=files(recording(1)), data={"speaker": anna["id"]}), 423, "locked")
        assert other.delete(f"/v1/speakers/{anna['id']}").status_code == 204
        assert client.post("/v1/identify", files=files(recording(1, 2))).json()["answer"] == "unknown"
    end_while_it_works(second)
    churn = Churn(seed=1)
    churn.until_killed(second.start())
    churn.check(service)


def end_while_it_works(running):
    """Tell a service with one worker to end, and check that it finishes the accepted requests first."""
    number, num_before = 6, running.audit_log.read_text().count("POST /v1/examine")
    (worker,) = running.worker_ids()
    with running.client() as client, ThreadPoolExecutor(number) as threads:
        os.kill(worker, signal.SIGSTOP)
        asked = [threads.submit(client.post, "/v1/examine", files=files(recording(1))) for _ in range(number)]
        until(lambda: f"mindvox_waiting_recordings {number - 1}.0" in client.get("/metrics").text)
        running.process.send_signal(signal.SIGTERM)
        until(lambda: is_closed(running.port))
        os.kill(worker, signal.SIGCONT)
        assert running.stop() in (0, -15), running.errors
        assert [one.result().status_code for one in asked] == [200] * number
    assert running.audit_log.read_text().count("POST /v1/examine") == num_before + number


def is_closed(port):
    """Return whether no connection is accepted any more."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False
