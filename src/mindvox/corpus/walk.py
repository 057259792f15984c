"""Find the audio files below a folder: each recording once, whatever links there are."""

import os
from collections import deque
from pathlib import Path
from typing import NamedTuple

from mindvox.corpus.audio import Skipped, is_audio_name
from mindvox.errors import InputError
from mindvox.files import PathLike


class AudioFiles(NamedTuple):
    """The content of a folder; every path is relative to it, with `/`, sorted.

    Attributes:
        names: files that are audio by name.
        skipped: audio files and links that cannot be opened, with the reason; a link may have led to a folder.
        repeated_links: links to folders whose recordings are listed under another path.
        file_links: the `names` that are links.
    """

    names: list[str]
    skipped: list[Skipped]
    repeated_links: list[str]
    file_links: list[str]


def walk_audio(folder: PathLike) -> AudioFiles:
    """List the audio files at any depth below a folder; follow links, and ignore names that start with a dot.

    Each real folder is read once: under its own path if it lies below `folder`, else under the first link to it. Links
    to a parent folder therefore do not loop, and no recording gets a second name.

    Raises:
        InputError: the folder is missing, or a folder in it cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder.")
    found = AudioFiles([], [], [], [])
    visited: set[tuple[int, int]] = set()
    real: deque[str] = deque([""])  # prefixes of waiting folders; real folders are read first
    links: deque[str] = deque()
    while real or links:
        is_link = not real
        prefix = links.popleft() if is_link else real.popleft()
        status = os.stat(folder / prefix)
        if (status.st_dev, status.st_ino) in visited:
            if is_link:
                found.repeated_links.append(printable(prefix.rstrip("/")))
            continue
        visited.add((status.st_dev, status.st_ino))
        _read_folder(folder, prefix, found, real, links)
    for names in found:
        names.sort()
    return found


def _read_folder(folder: Path, prefix: str, found: AudioFiles, real: deque, links: deque) -> None:
    """Add the files of one folder to `found`, and its sub-folders to the queues."""
    try:
        entries = sorted(os.scandir(folder / prefix), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder / prefix}: cannot be read ({str(error.strerror).lower()}).") from None
    for entry in entries:
        name = prefix + entry.name
        if entry.name.startswith("."):
            continue
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError as error:  # a link to itself: too many levels of symbolic links
            found.skipped.append(Skipped(printable(name), f"a link that leads nowhere ({str(error.strerror).lower()})"))
            continue
        if is_folder:
            (links if entry.is_symlink() else real).append(f"{name}/")
        elif not is_file and entry.is_symlink():
            found.skipped.append(Skipped(printable(name), "a link to nothing"))
        elif is_audio_name(entry.name):
            reason = "" if is_file else "not a regular file"
            reason = reason or ("" if printable(name) == name else "its name is not UTF-8")
            if reason:
                found.skipped.append(Skipped(printable(name), reason))
                continue
            found.names.append(name)
            if entry.is_symlink():
                found.file_links.append(name)


def printable(name: str) -> str:
    """Return a file name with bytes that are not UTF-8 written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
