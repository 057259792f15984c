"""Access: tokens and their scopes, hosts and origins, rates, and the audit log."""

import json
import subprocess
import sys

import httpx
import pytest

from mindvox.cli.tokens import main
from mindvox.errors import InputError, UsageError
from mindvox.service.endpoints import ENDPOINTS
from mindvox.service.rates import MOST_CALLERS, RateLimiter
from mindvox.service.server import serve
from mindvox.service.settings import Limits, Settings
from mindvox.service.tokens import SCOPES, TokenFile
from tests.service.calls import NOBODY, enrol, files, problem_of
from tests.service.toys import recording, silence

NUM_AT_ONCE = 4
NEEDED = {  # the scopes that allow a call, by hand
    "POST /v1/verify": {"read"},
    "POST /v1/identify": {"read"},
    "POST /v1/examine": {"read"},
    "POST /v1/diarize": {"read"},
    "POST /v1/embed": {"admin"},
    "GET /v1/speakers": {"read"},
    "POST /v1/speakers": {"enrol"},
    "GET /v1/speakers/{speaker}": {"read"},
    "PATCH /v1/speakers/{speaker}": {"admin"},
    "DELETE /v1/speakers/{speaker}": {"admin"},
    "POST /v1/speakers/{speaker}/recordings": {"enrol"},
    "GET /v1/health": set(),
    "GET /v1/ready": set(),
    "GET /v1/openapi.json": set(),
    "GET /metrics": {"metrics", "admin"},
}


def call(client, endpoint):
    """Call an endpoint with the least input that it accepts."""
    path = endpoint.path.format(speaker=NOBODY)
    if endpoint.method == "PATCH":
        return client.patch(path, json={"name": "Anna"})
    if endpoint.method == "POST":
        return client.post(path, files=files(silence(0.1)), data={"name": "Anna"})
    return client.request(endpoint.method, path)


def test_the_table_has_all_calls(client):
    described = client.get("/v1/openapi.json").json()["paths"]
    calls = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    table = {f"{one.method} {one.path}" for one in ENDPOINTS}
    assert table == set(NEEDED) and table - calls == {"GET /v1/openapi.json"} and calls <= table


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
def test_each_scope_allows_its_calls_alone(service, endpoint):
    needed = NEEDED[f"{endpoint.method} {endpoint.path}"]
    for scope in SCOPES:
        with service.client(scope) as client:
            answer = call(client, endpoint)
        if not needed or scope in needed:
            assert answer.status_code not in (401, 403, 500), answer.text
        else:
            assert scope in problem_of(answer, 403, "forbidden")["detail"]
    with httpx.Client(base_url=service.address) as client:
        answer = call(client, endpoint)
        if needed:
            problem_of(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
        else:
            assert answer.status_code == 200


@pytest.mark.parametrize("shown", ["Bearer nothing", "Bearer", "Basic abc", "Bearer mv_00000000_" + "A" * 43, "é"])
def test_a_wrong_token_is_refused(service, shown):
    headers = {"Authorization": shown.encode()}
    problem_of(httpx.get(f"{service.address}/v1/speakers", headers=headers), 401, "unauthorized")


def test_a_revoked_or_expired_token_is_refused_at_once(service):
    text = service.token_file.add("gone", ["read"])
    headers = {"Authorization": f"Bearer {text}"}
    assert httpx.get(f"{service.address}/v1/speakers", headers=headers).status_code == 200
    service.token_file.revoke("gone")
    problem_of(httpx.get(f"{service.address}/v1/speakers", headers=headers), 401, "unauthorized")
    old = service.token_file.add("old", ["read"], expires=1.0)
    headers = {"Authorization": f"Bearer {old}"}
    problem_of(httpx.get(f"{service.address}/v1/speakers", headers=headers), 401, "unauthorized")


def test_answers_have_the_headers_of_a_careful_service(client):
    for path in ("/", "/v1/health", "/v1/speakers", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in headers and "server" not in headers
        assert headers["cache-control"] == ("no-store" if path.startswith("/v1") else "no-cache")


def test_pages_of_others_are_refused(service, client):
    problem_of(client.get("/v1/speakers", headers={"Origin": "https://elsewhere.example"}), 403, "bad_host")
    problem_of(client.get("/v1/speakers", headers={"Origin": "null"}), 403, "bad_host")
    assert client.get("/v1/speakers", headers={"Origin": service.address}).status_code == 200
    preflight = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    answer = client.options("/v1/verify", headers=preflight)
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1.elsewhere.example", "", "127.0.0.1@elsewhere"])
def test_another_name_for_this_machine_is_refused(client, host):
    problem_of(client.get("/v1/health", headers={"Host": host}), 403, "bad_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "[::1]:99", "127.0.0.1:1"])
def test_names_of_this_machine_are_taken(client, host):
    assert client.get("/v1/health", headers={"Host": host}).status_code == 200


def test_every_call_is_noted_without_voice_names_and_secrets(service, client):
    anna = enrol(client, name="Annabella", consent="a secret consent")
    client.post("/v1/verify", files=files(recording(2)), data={"speaker": anna["id"]})
    wrong = "mv_00000000_" + "B" * 43
    httpx.get(f"{service.address}/v1/speakers", headers={"Authorization": f"Bearer {wrong}"})
    text = service.audit_log.read_text()
    entries = [json.loads(line) for line in text.splitlines()]
    made = next(entry for entry in entries if entry["speaker"] == anna["id"])
    assert made["call"] == "POST /v1/speakers" and made["status"] == 201 and made["bytes"] > 90_000
    assert made["token"] == service.tokens["all"].split("_")[1] and made["address"] == "127.0.0.1"
    verified = next(entry for entry in entries if entry["speaker"] == anna["id"] and entry["answer"])
    assert verified["answer"] == "reject" and verified["call"] == "POST /v1/verify"
    assert entries[-1]["status"] == 401 and entries[-1]["code"] == "unauthorized"
    for secret in ("Annabella", "consent", "BBBB", *(token.split("_", 2)[2] for token in service.tokens.values())):
        assert secret not in text and secret not in service.errors


def test_metrics_count_calls(service, client):
    client.post("/v1/verify", files=files(recording(1), recording(1, 3)))
    page = client.get("/metrics").text
    assert 'mindvox_requests_total{call="POST /v1/verify",status="200"}' in page
    assert 'mindvox_answers_total{answer="accept",call="POST /v1/verify"}' in page
    assert "mindvox_workers 1.0" in page and "mindvox_waiting_recordings 0.0" in page


def test_a_speaker_is_locked_after_failures(client):
    anna = enrol(client)
    for _ in range(5):
        found = client.post("/v1/verify", files=files(recording(2)), data={"speaker": anna["id"]}).json()
        assert found["answer"] == "reject"
    answer = client.post("/v1/verify", files=files(recording(1)), data={"speaker": anna["id"]})
    problem_of(answer, 423, "locked")
    assert 290 < int(answer.headers["retry-after"]) <= 300
    bert = enrol(client, "Bert", 2)
    for speaker in (1, 1, 1, 1, 2, 1, 1, 1, 1, 2):  # one that succeeds sets the count back
        answer = client.post("/v1/verify", files=files(recording(speaker)), data={"speaker": bert["id"]})
        assert answer.status_code == 200
    for _ in range(6):  # what cannot be used is no attempt
        answer = client.post("/v1/verify", files=files(silence()), data={"speaker": bert["id"]})
        assert answer.json()["answer"] == "inconclusive"


def test_of_many_attempts_at_once_only_the_first_count(client):
    from concurrent.futures import ThreadPoolExecutor

    anna = enrol(client)

    def attempt(speaker):
        return client.post("/v1/verify", files=files(recording(speaker)), data={"speaker": anna["id"]}).status_code

    with ThreadPoolExecutor(12) as threads:
        statuses = list(threads.map(attempt, [2] * 12))
    assert statuses.count(200) == 5 and statuses.count(423) == 7


def test_a_caller_has_its_rate():
    now = [0.0]
    limiter = RateLimiter(per_minute=60, burst=2, clock=lambda: now[0])
    for _ in range(2):
        assert limiter.wait_s("a") == 0
        limiter.count("a")
    assert limiter.wait_s("a") == pytest.approx(1) and limiter.wait_s("b") == 0
    now[0] = 0.5
    assert limiter.wait_s("a") == pytest.approx(0.5)
    now[0] = 1
    assert limiter.wait_s("a") == 0
    now[0] = 100
    limiter.count("a")
    limiter.count("a")
    assert limiter.wait_s("a") == pytest.approx(1)  # no more than the burst is saved
    for number in range(MOST_CALLERS + 5):
        limiter.count(number)
    assert len(limiter._left) == MOST_CALLERS


def test_without_tokens_it_serves_this_machine_and_counts(application):
    client, tokens = application(Limits(requests_per_minute=1, burst=3))
    assert client.get("/v1/health").json()["needs_token"] is False
    assert [client.get("/v1/speakers").status_code for _ in range(3)] == [200] * 3
    answer = client.get("/v1/speakers")
    problem_of(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert client.get("/v1/health").status_code == 200  # is not counted
    problem_of(client.post("/v1/embed", files=files(silence(0.1))), 429, "rate_limited")
    text = tokens.add("first", ["read"])  # from now on one is needed
    problem_of(client.get("/v1/speakers"), 401, "unauthorized")
    assert client.get("/v1/speakers", headers={"Authorization": f"Bearer {text}"}).status_code == 200


@pytest.mark.parametrize("options", [{"host": "0.0.0.0"}, {"host": "::"}, {"allowed_hosts": ("voices.example",)}])
def test_other_machines_need_tokens(tmp_path, options):
    with pytest.raises(UsageError, match="mindvox tokens add"):
        serve(Settings(tokens=tmp_path / "tokens.json", **options))


def test_impossible_settings_are_refused():
    for given in ({"port": 70000}, {"num_workers": 0}, {"threshold": 2.0}):
        with pytest.raises(UsageError):
            Settings(**given)
    for limit in ({"max_bytes": 0}, {"decode_s": -1.0}, {"max_bodies_bytes": 5}):
        with pytest.raises(UsageError):
            Limits(**limit)


def test_tokens_are_hashed_and_readable_by_their_owner_alone(tmp_path):
    file = TokenFile(tmp_path / "data" / "tokens.json")
    text = file.add("kiosk", ["enrol", "read"])
    assert file.path.stat().st_mode & 0o077 == 0 and text not in file.path.read_text()
    (token,) = file.all()
    assert token.scopes == ("read", "enrol") and file.find(text) == token and file.find(text[:-1]) is None
    assert file.find(text, now=token.created + 1e9) == token
    with pytest.raises(InputError, match="some of read, enrol, admin, metrics, got all"):
        file.add("x", ["all"])
    with pytest.raises(InputError, match="no single token"):
        file.revoke("nobody")
    file.add("kiosk", ["read"])
    with pytest.raises(InputError, match="2 have this name"):
        file.revoke("kiosk")
    file.revoke(token.id)
    assert file.find(text) is None and len(file.all()) == 1
    file.path.write_text("{}")
    with pytest.raises(InputError, match="mindvox tokens"):
        TokenFile(file.path).all()


def test_the_command_makes_lists_and_revokes_tokens(tmp_path, capsys):
    def tokens(*words):
        assert main([*words, f"--tokens={tmp_path / 't.json'}"]) == 0
        return capsys.readouterr().out

    text = tokens("add", "kiosk", "--scopes=read,enrol", "--expires=90d").strip()
    assert text.startswith("mv_")
    listed = json.loads(tokens("list", "--json"))
    assert listed["name"] == "kiosk" and listed["scopes"] == ["read", "enrol"] and listed["expires"]
    assert text not in tokens("list")
    assert tokens("revoke", "kiosk") == "" and tokens("list") == ""
    with pytest.raises(InputError, match="everything"):
        tokens("add", "x", "--scopes=everything")


def test_tokens_that_are_made_at_once_are_all_kept(tmp_path):
    path = tmp_path / "tokens.json"
    command = [sys.executable, "-m", "mindvox", "tokens", "add", "--tokens", str(path), "--scopes", "read"]
    names = [str(number) for number in range(NUM_AT_ONCE)]
    makers = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in names]
    shown = [maker.communicate()[0].split() for maker in makers]
    assert not any(maker.returncode for maker in makers)
    kept = TokenFile(path)
    assert sorted(token.name for token in kept.all()) == names
    assert all(any(kept.find(word) for word in words) for words in shown)
