"""Files: reading users' text, atomic writes, and locks."""

import argparse
import csv
import errno
import hashlib
import json
import multiprocessing
import os
import re
import shlex
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Optional, TextIO, Union

from mindvox.errors import InputError

PathLike = Union[str, Path]
LOCK_FILE = ".lock"
LONGEST_HOLDER = 300  # bytes of a lock file that messages show
UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EBADF)
NO_LOCKS = (*UNSUPPORTED, errno.ENOLCK, errno.EROFS)
BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
NAMED = re.compile(r"([^/=]+)=(.*)", re.DOTALL)
VARIABLE = re.compile(r"\$(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\}|\$)")
_held: set[Path] = set()  # locks held by this process
_warned: set[str] = set()  # kinds of warnings that this process has printed


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path` with the same suffix; on success, sync it and rename it to `path`.

    On an exception, remove the temporary file and leave `path` unchanged. Missing parent folders are created.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp and MindSpore create files that only their owner can read
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: PathLike) -> None:
    """Flush a file's content, or the renames in a folder, to disk, where the file system supports it.

    Some network and FUSE file systems refuse to sync, mostly folders; one warning says so. A full or failing disk
    (ENOSPC, EIO) is an error.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise OSError(error.errno, error.strerror, str(path)) from None
        _warn_once("sync", f"{path}: this file system cannot sync it ({error.strerror}): a power failure may undo it.")


def _warn_once(kind: str, message: str) -> None:
    """Print a warning once per kind and process; processes of a pool leave it to their parent."""
    if kind not in _warned and multiprocessing.parent_process() is None:
        _warned.add(kind)
        print(f"warning: {message}", file=sys.stderr)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


@contextmanager
def lock_folder(folder: PathLike, part: str = "", wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on a folder for the duration of the `with` block.

    The lock is `flock` on the file `.lock` in the folder (`.lock-<part>` for a part of the work). The file holds one
    line that names the holder. The operating system releases the lock when the process ends, in whatever way. Because
    the holder removes the file before it releases the lock, a process that gets the lock checks that the file still
    has its name. Locking again in the same process has no effect. The C++ program locks its --output folder likewise.

    If the file system or the operating system has no locks, print a warning and continue.

    Args:
        folder: created if missing, and removed at the end if it is empty.
        part: name of a part of the work, which other processes may do beside other parts.
        wait: wait for the other process, and print once for which; False: raise instead.

    Raises:
        InputError: another process holds the lock, and `wait` is False.
    """
    folder = Path(folder)
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with _lock(folder / (f"{LOCK_FILE}-{part}" if part else LOCK_FILE), folder, wait):
            yield
    finally:
        _remove_empty(new)


@contextmanager
def lock_output(path: PathLike, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on the file `path` and the files that belong to it; see lock_folder().

    The lock file is `.<name>.lock` beside it; missing parent folders are created.
    """
    path = Path(path)
    new = [parent for parent in path.parents if not parent.exists()]
    try:
        with _lock(path.with_name(f".{path.name}{LOCK_FILE}"), path, wait):
            yield
    finally:
        _remove_empty(new)


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:  # not empty, or already removed
            return


@contextmanager
def _lock(path: Path, what: Path, wait: bool) -> Iterator[None]:
    resolved = path.parent.resolve() / path.name
    if resolved in _held:
        yield
        return
    handle = _acquire(path, what, wait)
    if handle is None:
        yield
        return
    _held.add(resolved)
    try:
        with suppress(OSError):  # on a full disk the lock still holds, but does not name its holder
            os.truncate(handle, 0)
            os.pwrite(handle, f"{_this_process()}\n".encode(errors="backslashreplace"), 0)
        yield
    finally:
        _held.discard(resolved)
        path.unlink(missing_ok=True)  # before the release: waiting processes then see that the file is gone
        os.close(handle)


def _acquire(path: Path, what: Path, wait: bool) -> Optional[int]:
    """Return the descriptor of a locked file; None: locks are not supported."""
    try:
        import fcntl
    except ImportError:
        _warn_once("lock", f"{what}: this system has no file locks (fcntl): run only one command at a time there.")
        return None
    is_told = False
    while True:
        handle = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(handle, LONGEST_HOLDER, 0).decode(errors="replace").strip() or "another process"
                if not wait:
                    raise InputError(f"{what}: {holder} writes here: wait for it, or end it.") from None
                if not is_told:
                    print(f"{what}: waiting for {holder}, which writes here", file=sys.stderr, flush=True)
                    is_told = True
                fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_same_file(handle, path):
                locked, handle = handle, None
                return locked
        except FileNotFoundError:  # the holder removed the empty folder
            continue
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            _warn_once("lock", f"{what}: cannot be locked ({error.strerror}): run only one command at a time there.")
            return None
        finally:
            if handle is not None:
                os.close(handle)


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _this_process() -> str:
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return f"process {os.getpid()} on {socket.gethostname()} ({command})".replace("\n", " ")[:LONGEST_HOLDER]


def expand_path(text: str) -> str:
    """Return a path with `~`, `$NAME` and `${NAME}` expanded as in a shell; `$$` means a dollar sign.

    Raises:
        ValueError: a variable is not set, or the user does not exist; the message says what was expected.
    """

    def value_of(match: re.Match) -> str:
        name = match["name"] or match["braced"]
        if not name:
            return "$"
        if name not in os.environ:
            raise ValueError(f"expected variables that are set, but ${name} is not ($$ means a dollar sign)")
        return os.environ[name]

    path = os.path.expanduser(VARIABLE.sub(value_of, text))
    if text.startswith("~") and path.startswith("~"):
        raise ValueError(f"expected an existing user after ~ (./{text} for a name that begins with ~)")
    return path


def escape_path(path: str) -> str:
    """Return the text that expand_path() turns back into this path."""
    return path.replace("$", "$$")


def user_text(text: str) -> str:
    """Return a path from the command line, expanded by expand_path(); empty text stays empty. A `type` for argparse."""
    try:
        return expand_path(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, got {text!r}") from None


def user_path(text: str) -> Path:
    """Return a path from the command line, expanded by expand_path(). A `type` for argparse."""
    return Path(user_text(text))


def named_path(text: str) -> tuple[str, str]:
    """Return name and expanded path of `NAME=PATH`; the name is empty if there is none.

    A name has no slash, so `a/b=c` is a path. A `type` for argparse; shells do not expand `~` after `=`.
    """
    match = NAMED.fullmatch(text)
    return (match[1], user_text(match[2])) if match else ("", user_text(text))


def read_text(path: PathLike, what: str = "file") -> str:
    """Read UTF-8 text, with or without a byte order mark, whatever the locale; line ends become line feeds.

    Args:
        what: what the file is, for error messages.

    Raises:
        InputError: the file does not exist, or is not UTF-8 text.
    """
    with open_text(path, what) as stream:
        return stream.read()


def text_lines(path: PathLike, what: str = "file") -> Iterator[tuple[int, str]]:
    """Yield the number and the text, without the line end, of each line that is not blank; see read_text()."""
    with open_text(path, what) as stream:
        for line_no, line in enumerate(stream, 1):
            if line.strip():
                yield line_no, line.rstrip("\n")


@contextmanager
def open_text(path: PathLike, what: str = "file", newline: Optional[str] = None) -> Iterator[TextIO]:
    """Open text for reading as read_text() does; `newline` is passed to open()."""
    try:
        with open(path, encoding="utf-8-sig", newline=newline) as stream:
            yield stream
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise InputError(f"{path}: no such {what}.") from None
    except UnicodeDecodeError:
        raise InputError(f"{_where_not_utf8(path)} Save the {what} as UTF-8.") from None


def _where_not_utf8(path: PathLike) -> str:
    with open(path, "rb") as stream:
        for line_no, line in enumerate(stream, 1):
            if line_no == 1 and line[:2] in BYTE_ORDER_MARKS:
                return f"{path}:1: expected UTF-8 text, got {BYTE_ORDER_MARKS[line[:2]]}."
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return f"{path}:{line_no}: expected UTF-8 text, got {line[error.start : error.start + 20]!r}."
    return f"{path}: expected UTF-8 text, got other bytes."


def write_json(path: PathLike, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON with sorted keys."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: PathLike) -> Any:
    """Read a JSON file; raise InputError when it is missing or is not JSON."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: expected JSON, got something else ({error}). Make it again.") from None


def write_csv(path: PathLike, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows of a csv file under `header`, as UTF-8, one line each."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_csv(path: PathLike, header: Sequence[str]) -> list[list[str]]:
    """Read the rows of a csv file whose first line must be `header`; see csv_rows()."""
    return [row for _, row in csv_rows(path, header)]


def csv_rows(path: PathLike, header: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the columns of each row below `header`; blank lines are skipped.

    Raises:
        InputError: the file is missing or not text, or the header or the number of columns is wrong.
    """
    has_header = False
    try:
        with open_text(path, "csv file", newline="") as stream:
            reader = csv.reader(stream)
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if not any(column.strip() for column in row) and len(row) <= 1:
                    continue
                if not has_header:
                    if row != list(header):
                        raise InputError(f"{where}: expected the header '{','.join(header)}', got '{','.join(row)}'.")
                    has_header = True
                    continue
                if len(row) != len(header):
                    raise InputError(f"{where}: expected {len(header)} columns, got {len(row)}.")
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}: expected a csv file ({error}).") from None
    if not has_header:
        raise InputError(f"{path}:1: expected the header '{','.join(header)}', got an empty file.")


def sha256_file(path: PathLike) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
