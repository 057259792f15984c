"""The source files of a store: their size, time and content, and whether they have changed.

A file with the same size and time is not read again. Otherwise its content decides: a copied or touched folder counts
as the same, a replaced recording as another one."""

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import NamedTuple, Optional

from mindvox.errors import InputError
from mindvox.files import PathLike, csv_rows, sha256_file, write_csv

SOURCES_FILE = "sources.csv"
SOURCES_HEADER = ("name", "num_bytes", "mtime_ns", "sha256")
NAMES_SHOWN = 5
_NUM_THREADS = 8  # mostly waiting for the disk or the network
_FILES_AT_ONCE = 256


class Stamp(NamedTuple):
    """A file's size, modification time (ns) and content hash."""

    num_bytes: int
    mtime_ns: int
    sha256: str


def stamp_of(path: PathLike) -> Optional[Stamp]:
    """Return the stamp of a file; None: it cannot be read."""
    try:
        stat = os.stat(path)
        return Stamp(stat.st_size, stat.st_mtime_ns, _sha256(str(path), stat.st_size, stat.st_mtime_ns))
    except OSError:
        return None


@lru_cache(maxsize=16)
def _sha256(path: str, num_bytes: int, mtime_ns: int) -> str:
    """Return a file's content hash; cached, because many utterances may lie in one long recording."""
    return sha256_file(path)


def stamp_all(paths: Mapping[str, Path]) -> dict[str, Stamp]:
    """Return the stamps of the readable files, by name."""
    with ThreadPool(_NUM_THREADS) as pool:
        stamps = pool.map(stamp_of, paths.values(), chunksize=_FILES_AT_ONCE)
    return {name: stamp for name, stamp in zip(paths, stamps, strict=True) if stamp is not None}


def write_sources(path: PathLike, stamps: Mapping[str, Stamp]) -> None:
    """Write stamps by the name of the utterance or file."""
    write_csv(path, SOURCES_HEADER, ((name, *stamp) for name, stamp in stamps.items()))


def read_sources(path: PathLike) -> dict[str, Stamp]:
    """Read what write_sources() wrote."""
    stamps = {}
    for line_no, (name, num_bytes, mtime_ns, sha256) in csv_rows(path, SOURCES_HEADER):
        try:
            stamps[name] = Stamp(int(num_bytes), int(mtime_ns), sha256)
        except ValueError:
            raise InputError(f"{path}:{line_no}: expected numbers of bytes and nanoseconds. Remove the file.") from None
    return stamps


def check_sources(folder: PathLike, tables: Sequence[Path], paths: Mapping[str, Path], what: str, advice: str) -> None:
    """Compare the source files of a store with the present ones.

    If only times differ but the content is the same, the tables are refreshed, so that the files are not read again.

    Args:
        folder: folder of the store, for messages.
        tables: tables of write_sources(); none: an older store, and a line says that changes cannot be detected.
        paths: present paths of the files by name; other files are ignored.
        what: the kind of files, for messages.
        advice: what to do if some have changed.

    Raises:
        InputError: files have other content, or are missing.
    """
    if not tables:
        print(f"{folder}: an older store without hashes of its {what}: changes cannot be detected")
        return
    num_files = num_touched = 0
    changed: list[str] = []
    for table in tables:
        known = read_sources(table)
        names = [name for name in known if name in paths]
        now = _stamps_now(known, {name: paths[name] for name in names})
        differing = [name for name in names if name not in now or now[name].sha256 != known[name].sha256]
        num_new = sum(now[name] != known[name] for name in now)
        num_files, num_touched, changed = num_files + len(names), num_touched + num_new, changed + differing
        if num_new and not differing:
            _refresh(table, known | now)
    if changed:
        shown = ", ".join(changed[:NAMES_SHOWN]) + (", ..." if len(changed) > NAMES_SHOWN else "")
        raise InputError(
            f"{folder}: {len(changed)} of {num_files} {what} are not those that it was prepared from: {shown}. {advice}"
        )
    if num_touched:
        print(f"{folder}: {num_touched} of {num_files} {what} have another time, but the same content")


def _stamps_now(known: Mapping[str, Stamp], paths: Mapping[str, Path]) -> dict[str, Stamp]:
    def stamp_now(name: str) -> Optional[Stamp]:
        try:
            stat = os.stat(paths[name])
        except OSError:
            return None
        is_same = (stat.st_size, stat.st_mtime_ns) == known[name][:2]
        return known[name] if is_same else stamp_of(paths[name])

    with ThreadPool(_NUM_THREADS) as pool:
        stamps = pool.map(stamp_now, paths, chunksize=_FILES_AT_ONCE)
    return {name: stamp for name, stamp in zip(paths, stamps, strict=True) if stamp is not None}


def _refresh(table: Path, stamps: Mapping[str, Stamp]) -> None:
    if os.access(table.parent, os.W_OK):  # without write access, content is compared each time
        write_sources(table, stamps)
