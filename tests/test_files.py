"""Text as users write it, files that are whole or absent, errors that become one line and an exit code.

Second variants of issue 12: csv and JSON with a byte order mark, GBK and UTF-16 text (B12); ENOTSUP, and failures that
must stay errors (B13).
"""

import errno
import os
import stat

import pytest

from mindvox import files
from mindvox.errors import InputError, UsageError, run
from mindvox.files import (
    atomic_path,
    csv_rows,
    read_csv,
    read_json,
    read_text,
    sha256_file,
    text_lines,
    write_csv,
    write_json,
)


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_written_file_has_the_usual_permissions(tmp_path):
    write_json(tmp_path / "new" / "a.json", 1)
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE((tmp_path / "new" / "a.json").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_csv_round_trip_keeps_commas(tmp_path):
    write_csv(tmp_path / "a.csv", ["a", "b"], [["x,y", 1]])
    assert read_csv(tmp_path / "a.csv", ["a", "b"]) == [["x,y", "1"]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty file"),
        (b"a,c\n", "a.csv:1: expected the header 'a,b', got 'a,c'"),
        (b"a,b\n1,2\n3\n", "a.csv:3: expected 2 columns, got 1"),
        (b"a,b\n\xff\xfe,2\n", "UTF-8"),
    ],
)
def test_wrong_csv_is_named_with_its_line(tmp_path, content, said):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_csv(tmp_path / "a.csv", ["a", "b"])


def test_missing_or_wrong_json_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match="a.json: expected JSON"):
        read_json(tmp_path / "a.json")


def test_sha256_is_that_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a").startswith("ba7816bf")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("bad data"), 1, "error: bad data"),
        (UsageError("bad key"), 2, "error: bad key"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x.wav"), 1, "x.wav"),
        (OSError(errno.ENOSPC, "No space left", "y"), 1, "no space left while writing y"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_a_user_can_cause_is_one_line_and_an_exit_code(capsys, error, code, said):
    def main(_):
        raise error

    assert run(main) == code
    captured = capsys.readouterr()
    assert said in captured.err and "Traceback" not in captured.err and captured.out == ""


def test_our_own_mistakes_keep_their_traceback():
    def main(_):
        raise KeyError

    with pytest.raises(KeyError):
        run(main)


def test_text_takes_a_byte_order_mark_other_line_ends_and_blank_lines(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffé 1\r\n\r\n  \n声 2\r\n\n".encode())
    assert list(text_lines(path)) == [(1, "é 1"), (4, "声 2")]
    assert read_text(path) == "é 1\n\n  \n声 2\n\n"
    path.write_bytes(b"\xef\xbb\xbfa,b\r\n\r\n1,2\r\n\r\n")
    assert list(csv_rows(path, ["a", "b"])) == [(3, ["1", "2"])]
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n')
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a\n\xc9\xf9 b\n", r"a.txt:2: expected UTF-8 text, got b'\\xc9\\xf9 b\\n'. Save the list as UTF-8"),  # GBK
        ("a\n".encode("utf-16"), "a.txt:1: expected UTF-8 text, got UTF-16"),
    ],
)
def test_text_in_another_encoding_is_named_with_its_line(tmp_path, content, said):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(InputError, match=said):
        list(text_lines(tmp_path / "a.txt", "list"))


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_folder_that_cannot_be_synced_is_said_once(tmp_path, monkeypatch, capsys, number):
    real = os.fsync

    def refuse(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        real(handle)

    files._warned.clear()
    monkeypatch.setattr(os, "fsync", refuse)
    for value in range(2):
        write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == 1
    assert capsys.readouterr().err.count("cannot sync") == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_file_that_fails_to_reach_the_disk_is_an_error(tmp_path, monkeypatch, number):
    def fail(_):
        raise OSError(number, os.strerror(number))

    write_json(tmp_path / "a.json", 1)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="a.json|a\\..*json") as raised:
        write_json(tmp_path / "a.json", 2)
    assert raised.value.errno == number
    assert read_json(tmp_path / "a.json") == 1
