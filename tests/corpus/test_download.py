"""Downloads arrive whole, whatever the server does, and give no secret away."""

import errno
import hashlib
import json
import os
from collections import namedtuple

import numpy as np
import pytest

from mindvox.corpus import download as module
from mindvox.corpus.download import Credentials, RemoteFile, download, find_credentials
from mindvox.errors import InputError, UsageError
from tests.corpus.file_server import serve

CONTENT = np.random.default_rng(0).bytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
SECRET = "s3cr3t"


@pytest.fixture
def server():
    with serve({"/data.zip": CONTENT}) as state:
        yield state


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    waited = []
    monkeypatch.setattr(module.time, "sleep", waited.append)
    return waited


def remote_of(server, md5=MD5, **options) -> RemoteFile:
    return RemoteFile("data.zip", f"{server.url}/data.zip", md5, **options)


def test_file_arrives_under_its_name_alone(server, tmp_path):
    path = download(remote_of(server), tmp_path / "new")
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_file_that_is_there_is_not_asked_for_again(server, tmp_path):
    download(remote_of(server), tmp_path)
    download(remote_of(server), tmp_path)
    assert len(server.requests) == 1


def test_dropped_connections_are_continued_where_they_broke(server, tmp_path):
    server.drop_after = [1_000_000, 500_000, 0, 700_000]
    assert download(remote_of(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=1000000-", "bytes=1500000-", "bytes=1500000-", "bytes=2200000-"]


def test_next_run_continues_what_this_one_left(server, tmp_path):
    server.drop_after = [1_000_000, 0, 0]
    with pytest.raises(InputError, match=r"data\.zip: .* \(3 attempts\)\. What has arrived is kept"):
        download(remote_of(server), tmp_path, tries=3)
    assert (tmp_path / "data.zip.part").stat().st_size == 1_000_000
    server.requests.clear()
    assert download(remote_of(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges() == ["bytes=1000000-"]


def test_server_without_ranges_sends_the_whole_again(server, tmp_path):
    server.knows_ranges = False
    server.drop_after = [1_000_000]
    assert download(remote_of(server), tmp_path).read_bytes() == CONTENT


def test_file_that_changed_meanwhile_is_taken_anew(server, tmp_path):
    server.drop_after = [1_000_000, 0, 0]
    with pytest.raises(InputError):
        download(remote_of(server, None), tmp_path, tries=3)
    other = CONTENT[::-1]
    server.files["/data.zip"], server.etag = other, '"2"'
    assert download(remote_of(server, None), tmp_path).read_bytes() == other


def test_without_checksum_and_validator_nothing_is_joined(server, tmp_path):
    server.etag = None
    server.drop_after = [1_000_000]
    assert download(remote_of(server, None), tmp_path).read_bytes() == CONTENT
    assert server.ranges() == [None, None]


def test_complete_part_of_a_killed_run_is_recognised(server, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(CONTENT)
    (tmp_path / "data.zip.part.json").write_text(json.dumps({"validator": '"1"'}))
    assert download(remote_of(server), tmp_path).read_bytes() == CONTENT


def test_wrong_part_is_thrown_away_once(server, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(CONTENT[1:1001])
    (tmp_path / "data.zip.part.json").write_text(json.dumps({"validator": '"1"'}))
    assert download(remote_of(server), tmp_path).read_bytes() == CONTENT


def test_wrong_content_is_an_error_and_leaves_nothing(server, tmp_path):
    with pytest.raises(InputError, match=f"expected the md5 {'0' * 32}, 127.0.0.1 sent {MD5}, twice"):
        download(remote_of(server, "0" * 32), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("code", "message"), [(401, "user name and password"), (403, "Access is denied"), (404, "no such file")]
)
def test_refusals_are_said_at_once(server, tmp_path, code, message):
    server.codes = [code]
    with pytest.raises(InputError, match=f"data.zip: 127.0.0.1 answers {code}.*{message}"):
        download(remote_of(server), tmp_path)
    assert len(server.requests) == 1


def test_busy_servers_are_waited_for_as_long_as_they_ask(server, tmp_path, no_waiting):
    server.codes, server.headers = [503, 429], {"Retry-After": "7"}
    assert download(remote_of(server), tmp_path).read_bytes() == CONTENT
    assert no_waiting == [7.0, 7.0]


def test_waiting_grows_and_ends(server, tmp_path, no_waiting):
    server.codes = [500] * 10
    with pytest.raises(InputError, match=r"answers 500 .*\(8 attempts\)"):
        download(remote_of(server), tmp_path, wait_s=10)
    assert all(5 * 2**number <= pause <= 10 * 2**number for number, pause in enumerate(no_waiting[:4]))
    assert max(no_waiting) <= module.MAX_WAIT_S


def test_server_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"localhost cannot be reached or broke off \(Connection refused\)"):
        download(RemoteFile("x", "http://localhost:9/x"), tmp_path, tries=2)


def test_disk_without_room_is_noticed_before(server, tmp_path, monkeypatch):
    stat = namedtuple("Stat", "f_bavail f_frsize")
    monkeypatch.setattr(os, "statvfs", lambda path: stat(1, 4096))
    with pytest.raises(InputError, match=r"data\.zip needs 0\.003 GB, the disk has 0\.000 GB"):
        download(remote_of(server), tmp_path)


def test_disk_that_gets_full_keeps_what_has_arrived(server, tmp_path, monkeypatch):
    class Full:
        def __init__(self, stream):
            self.stream = stream

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.stream.close()

        def __getattr__(self, name):
            return getattr(self.stream, name)

        def write(self, block):
            if self.stream.tell() > 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.stream.write(block)

    def opened(path, mode="r", **options):
        stream = open(path, mode, **options)  # noqa: SIM115 - its caller closes it
        return Full(stream) if "+b" in mode or mode == "wb" else stream

    monkeypatch.setattr(module, "open", opened, raising=False)
    with pytest.raises(InputError, match="the disk is full. What has arrived is kept"):
        download(remote_of(server), tmp_path)
    monkeypatch.undo()
    assert 0 < (tmp_path / "data.zip.part").stat().st_size < len(CONTENT)
    assert download(remote_of(server), tmp_path).read_bytes() == CONTENT


def test_credentials_are_sent_and_appear_nowhere(server, tmp_path, capsys):
    credentials = Credentials("anna", SECRET)
    server.password = credentials.header()
    server.codes = [500]
    remote = RemoteFile("data.zip", f"{server.url}/data.zip?key={SECRET}", None, credentials)
    server.files[f"/data.zip?key={SECRET}"] = CONTENT
    server.drop_after = [1000]
    with pytest.raises(InputError) as caught:
        download(remote, tmp_path, tries=1)
    server.codes = [403]
    with pytest.raises(InputError) as refused:
        download(remote, tmp_path)
    written = "".join(path.read_text(errors="replace") for path in tmp_path.iterdir())
    printed = "".join(capsys.readouterr()) + str(caught.value) + str(refused.value) + repr(remote) + repr(credentials)
    assert SECRET not in written + printed
    assert download(remote, tmp_path).read_bytes() == CONTENT


def test_credentials_follow_a_redirection_on_the_same_server_only(server, tmp_path):
    credentials = Credentials("anna", SECRET)
    server.password = credentials.header()
    server.redirects["/old.zip"] = "/data.zip"
    download(RemoteFile("one", f"{server.url}/old.zip", MD5, credentials), tmp_path)
    with serve({"/data.zip": CONTENT}) as other:
        server.redirects["/old.zip"] = f"{other.url}/data.zip"
        download(RemoteFile("two", f"{server.url}/old.zip", MD5, credentials), tmp_path)
        assert "Authorization" not in other.requests[0][1]


def test_password_is_not_sent_unencrypted(tmp_path):
    remote = RemoteFile("x", "http://example.org/x", None, Credentials("anna", SECRET))
    with pytest.raises(UsageError, match="not sent over http:// to example.org"):
        download(remote, tmp_path)


def test_other_schemes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="https:// or http://"):
        download(RemoteFile("x", "file:///etc/passwd"), tmp_path)


def test_credentials_come_from_the_environment_or_netrc(tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    find = lambda: find_credentials("https://example.org/x", "TEST_USER", "TEST_PASSWORD")  # noqa: E731
    assert find() is None
    (tmp_path / "netrc").write_text(f"machine example.org login anna password {SECRET}\n")
    assert find() == Credentials("anna", SECRET)
    monkeypatch.setenv("TEST_USER", "bert")
    with pytest.raises(UsageError, match="set both or neither"):
        find()
    monkeypatch.setenv("TEST_PASSWORD", "other")
    assert find() == Credentials("bert", "other")


def test_damaged_netrc_is_an_error_without_its_text(tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text(f"machine example.org {SECRET}\n")
    with pytest.raises(UsageError, match="netrc: cannot be used") as caught:
        find_credentials("https://example.org/x", "TEST_USER", "TEST_PASSWORD")
    assert SECRET not in str(caught.value)
