"""What a store was made from: size, time and content of each file, and whether these are still the same.

A file of the same size and time is not read again. Any other is, and its content decides: a folder that was copied or
touched is the same, a recording that was replaced is another.
"""

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
_NUM_THREADS = 8  # they wait for the disk or the network most of the time
_FILES_AT_ONCE = 256


class Stamp(NamedTuple):
    """A file's size, time of its last change (ns) and content."""

    num_bytes: int
    mtime_ns: int
    sha256: str


def stamp_of(path: PathLike) -> Optional[Stamp]:
    """Return the stamp of a file; None when it cannot be read."""
    try:
        stat = os.stat(path)
        return Stamp(stat.st_size, stat.st_mtime_ns, _sha256(str(path), stat.st_size, stat.st_mtime_ns))
    except OSError:
        return None


@lru_cache(maxsize=16)
def _sha256(path: str, num_bytes: int, mtime_ns: int) -> str:
    """Return a file's content hash, once for the many utterances that may lie in one long recording."""
    return sha256_file(path)


def stamp_all(paths: Mapping[str, Path]) -> dict[str, Stamp]:
    """Return the stamps of those files that can be read, by name."""
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
    """Compare the files that a store was made from with those that are there now.

    Tables whose files have another time, but the same content, are refreshed, so that these are not read again.

    Args:
        folder: of the store, for messages.
        tables: what write_sources() wrote there; none: an older store, and a line says that nothing can be checked.
        paths: where the files lie now, by name; others are not looked at.
        what: what the files are, for messages.
        advice: what to do when some changed.

    Raises:
        InputError: files have another content, or are missing.
    """
    if not tables:
        print(f"{folder}: an older store, which does not know the content of its {what}: changes cannot be noticed")
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
    if os.access(table.parent, os.W_OK):  # a store on a read-only disk is compared by content each time
        write_sources(table, stamps)
