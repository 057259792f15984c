"""Files that are whole or absent: written beside their name, then renamed."""

import csv
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Union

from src.errors import InputError

PathLike = Union[str, Path]


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path` with the same suffix; on success it is synced and takes the name `path`.

    On any exception the temporary file is removed and `path` stays as it was. Missing parent folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp and MindSpore make files that only their owner can read
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename in a folder outlive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def write_json(path: PathLike, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON with sorted keys."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: PathLike) -> Any:
    """Read a JSON file; raise InputError when it is missing or is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: expected JSON, got something else ({error}). Make it again.") from None


def write_csv(path: PathLike, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write comma-separated rows under `header`, UTF-8, one line each."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_csv(path: PathLike, header: Sequence[str]) -> list[list[str]]:
    """Read the rows of a comma-separated file whose first line must be `header`.

    Raises:
        InputError: the file is missing, not text, has another header, or a row with another number of columns.
    """
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            reader = csv.reader(stream)
            rows = []
            for row in reader:
                if reader.line_num == 1 and row != list(header):
                    raise InputError(f"{path}:1: expected the header '{','.join(header)}', got '{','.join(row)}'.")
                if len(row) != len(header):
                    raise InputError(f"{path}:{reader.line_num}: expected {len(header)} columns, got {len(row)}.")
                rows.append(row)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a UTF-8 csv file ({error}).") from None
    if not rows:
        raise InputError(f"{path}:1: expected the header '{','.join(header)}', got an empty file.")
    return rows[1:]


def sha256_file(path: PathLike) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
