"""Unpack zip and tar archives safely: regular files only, inside the folder, no larger than announced."""

import errno
import io
import os
import shutil
import tarfile
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Optional

from mindvox.errors import InputError
from mindvox.progress import Progress

BLOCK_BYTES = 1 << 20
MAX_RATIO = 100  # unpacked to packed size; audio reaches 3, zeros 1000
SPARE_BYTES = 1 << 26  # left free on the disk


class Member(NamedTuple):
    """A file in an archive: its name there, its size, and how to read it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


class JoinedFiles(io.RawIOBase):
    """Several files that are parts of one, read as one.

    Args:
        paths: the parts, in order.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__()
        self._streams = [open(path, "rb") for path in paths]  # noqa: SIM115 - closed by close()
        sizes = [path.stat().st_size for path in paths]
        self._ends = list(accumulate(sizes))
        self._starts = [end - size for end, size in zip(self._ends, sizes, strict=True)]
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._ends[-1]}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))  # like a real file: zipfile relies on it
        self._place = base + offset
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # typeshed has a union of all buffers
        index = bisect_right(self._ends, self._place)
        if index == len(self._ends):
            return 0
        self._streams[index].seek(self._place - self._starts[index])
        num_bytes = self._streams[index].readinto(memoryview(buffer)[: self._ends[index] - self._place])
        self._place += num_bytes
        return num_bytes

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
        super().close()


def extract(paths: Sequence[Path], folder: Path, place_of: Callable[[PurePosixPath], Optional[PurePosixPath]]) -> int:
    """Unpack an archive, possibly in several parts; return the number of its files that belong in the folder.

    Existing files of the right size are kept, so that an interrupted extraction resumes.

    Args:
        paths: parts of one .zip, or one .zip, .tar.gz or .tar.
        place_of: returns where in the folder a file of the archive belongs; None: leave it out.

    Raises:
        InputError: the archive is damaged, has links, special files or names that lead out of the folder, unpacks to
            more than MAX_RATIO times its size, or does not fit the disk.
    """
    what = paths[0].name
    num_packed = sum(path.stat().st_size for path in paths)
    progress = Progress(0, "files")
    num_files = num_unpacked = 0
    try:
        with ExitStack() as stack:
            for member in _members(paths, stack):
                place = place_of(_safe_name(member.name, what))
                if place is None:
                    continue
                num_unpacked += member.size
                if num_unpacked > MAX_RATIO * num_packed:
                    raise InputError(f"{what}: unpacks to more than {MAX_RATIO} times its size: not a corpus.")
                _extract_member(member, Path(folder, place), what)
                num_files += 1
                progress.show(1, f"{what}: unpacked ")
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{what}: damaged or not a readable archive ({error}). Remove it and run again.") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{folder}: the disk is full. Free some space and run again.") from None
        raise
    return num_files


def _members(paths: Sequence[Path], stack: ExitStack) -> Iterator[Member]:
    if paths[0].name.endswith((".tar.gz", ".tgz", ".tar")):
        archive = stack.enter_context(tarfile.open(paths[0], "r|*"))  # noqa: SIM115 - the stack closes it
        yield from _tar_members(archive, paths[0].name)
    else:
        joined = stack.enter_context(JoinedFiles(paths))
        buffered = stack.enter_context(io.BufferedReader(joined, BLOCK_BYTES))
        yield from _zip_members(stack.enter_context(zipfile.ZipFile(buffered)), paths[0].name)


def _zip_members(archive: zipfile.ZipFile, what: str) -> Iterator[Member]:
    for info in archive.infolist():
        kind = info.external_attr >> 16 & 0o170000
        if info.is_dir():
            continue
        if kind not in (0, 0o100000):
            raise InputError(f"{what}: {info.filename!r} is a link or a special file: not unpacked.")
        yield Member(info.filename, info.file_size, partial(archive.open, info))


def _tar_members(archive: tarfile.TarFile, what: str) -> Iterator[Member]:
    for info in archive:
        if info.isdir():
            continue
        if not info.isreg():
            raise InputError(f"{what}: {info.name!r} is a link or a special file: not unpacked.")
        yield Member(info.name, info.size, partial(_open_regular, archive, info))


def _open_regular(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(info)
    assert stream is not None, "a regular file has content"
    return stream


def _safe_name(name: str, what: str) -> PurePosixPath:
    """Return a member's path; raise InputError if it could lead out of a folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or not path.parts:
        raise InputError(f"{what}: {name!r} leads out of the folder: not unpacked.")
    return path


def _extract_member(member: Member, target: Path, what: str) -> None:
    if target.is_file() and target.stat().st_size == member.size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if member.size + SPARE_BYTES > free:
        raise InputError(
            f"{target.parent}: {what} needs more room: {free / 1e9:.3f} GB are left. Free some space and run again."
        )
    temporary = target.with_name(f".{target.name}.part")  # not synced: there can be a million, and sizes are checked
    try:
        with member.open() as source, open(temporary, "wb") as stream:
            _copy(source, stream, member, what)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _copy(source: IO[bytes], stream: IO[bytes], member: Member, what: str) -> None:
    left = member.size
    while block := source.read(min(BLOCK_BYTES, left + 1)):
        left -= len(block)
        if left < 0:
            raise InputError(f"{what}: {member.name!r} holds more than it says: not unpacked.")
        stream.write(block)
    if left:
        raise InputError(f"{what}: {member.name!r} is cut short: damaged. Remove the archive and run again.")
