"""Archives are unpacked whole, where they belong, and nothing in them gets out of the folder."""

import io
import os
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from mindvox.corpus import archives
from mindvox.corpus.archives import JoinedFiles, extract
from mindvox.errors import InputError

FILES = {f"dev/wav/id{number}/a/1.wav": np.random.default_rng(number).bytes(5000 + number) for number in range(5)}
Usage = namedtuple("Usage", "total used free")


def whole(path):
    return path


def write_zip(path: Path, files: dict[str, bytes], **options) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def found(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.mark.parametrize("num_parts", [1, 3])
def test_zip_in_parts_is_unpacked_as_one(tmp_path, num_parts):
    content = write_zip(tmp_path / "all.zip", FILES).read_bytes()
    step = -(-len(content) // num_parts)
    parts = [tmp_path / f"part{number}" for number in range(num_parts)]
    for number, part in enumerate(parts):
        part.write_bytes(content[number * step : (number + 1) * step])
    assert extract(parts, tmp_path / "out", whole) == 5
    assert found(tmp_path / "out") == FILES


def test_joined_files_read_like_one(tmp_path):
    content = np.random.default_rng(0).bytes(100)
    for number, (first, last) in enumerate([(0, 30), (30, 30), (30, 99), (99, 100)]):
        (tmp_path / str(number)).write_bytes(content[first:last])
    with JoinedFiles([tmp_path / str(number) for number in range(4)]) as joined:
        buffered = io.BufferedReader(joined, 16)
        assert buffered.read() == content
        for place in (0, 29, 30, 50, 99, 100, 200):
            buffered.seek(place)
            assert buffered.read(7) == content[place : place + 7]
        assert buffered.seek(-10, io.SEEK_END) == 90
        assert buffered.read() == content[90:]


def test_tar_is_unpacked(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz", [(tarfile.TarInfo(name), content) for name, content in FILES.items()])
    assert extract([path], tmp_path / "out", whole) == 5
    assert found(tmp_path / "out") == FILES


def test_files_go_where_they_belong_and_others_nowhere(tmp_path):
    path = write_zip(tmp_path / "a.zip", {**FILES, "dev/readme.txt": b"x"})
    place_of = lambda name: None if name.suffix == ".txt" else name.relative_to("dev")  # noqa: E731
    assert extract([path], tmp_path / "out", place_of) == 5
    assert set(found(tmp_path / "out")) == {name.removeprefix("dev/") for name in FILES}


def test_interrupted_extraction_continues(tmp_path):
    path = write_zip(tmp_path / "a.zip", FILES)
    extract([path], tmp_path / "out", whole)
    kept, cut, *_ = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    before = kept.stat().st_mtime_ns
    cut.write_bytes(b"cut")
    extract([path], tmp_path / "out", whole)
    assert found(tmp_path / "out") == FILES
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["../evil.wav", "/evil.wav", "a/../../evil.wav", "..\\evil.wav"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_lead_out_are_refused(tmp_path, name, kind):
    if kind == "zip":
        path = write_zip(tmp_path / "a.zip", {name: b"x"})
    else:
        path = write_tar(tmp_path / "a.tar.gz", [(tarfile.TarInfo(name), b"x")])
    with pytest.raises(InputError, match="leads out of the folder"):
        extract([path], tmp_path / "deep" / "out", whole)
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_tar_are_refused(tmp_path, kind):
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(InputError, match="a link or a special file"):
        extract([write_tar(tmp_path / "a.tar.gz", [(info, b"")])], tmp_path / "out", whole)
    assert not os.path.lexists(tmp_path / "out" / "link")


def test_links_in_zip_are_refused(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(InputError, match="a link or a special file"):
        extract([tmp_path / "a.zip"], tmp_path / "out", whole)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_bombs_are_refused_before_they_are_written(tmp_path, kind):
    zeros = bytes(20_000_000)
    if kind == "zip":
        path = write_zip(tmp_path / "a.zip", {"zeros": zeros})
    else:
        path = write_tar(tmp_path / "a.tar.gz", [(tarfile.TarInfo("zeros"), zeros)])
    with pytest.raises(InputError, match="unpacks to more than 100 times its size"):
        extract([path], tmp_path / "out", whole)
    assert not (tmp_path / "out").exists()


def test_disk_without_room_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: Usage(10**9, 10**9, 1000))
    with pytest.raises(InputError, match=r"a\.zip needs more room"):
        extract([write_zip(tmp_path / "a.zip", FILES)], tmp_path / "out", whole)


@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_damaged_archives_are_errors(tmp_path, where):
    path = write_zip(tmp_path / "a.zip", FILES)
    content = bytearray(path.read_bytes())
    place = {"start": 0, "middle": len(content) // 2, "end": len(content) - 10}[where]
    content[place : place + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged or not a readable archive"):
        extract([path], tmp_path / "out", whole)


def test_cut_tar_is_an_error(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz", [(tarfile.TarInfo(name), content) for name, content in FILES.items()])
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(InputError, match="damaged"):
        extract([path], tmp_path / "out", whole)
