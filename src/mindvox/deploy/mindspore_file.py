"""Read arrays from a MindSpore checkpoint, without MindSpore and without executing anything in it.

The file is a protobuf message `Checkpoint`: for each parameter its name, its sizes, its type and its numbers. A
parameter above 512 MB is split into several entries of one name, whose numbers are consecutive. The message may be
followed by "crc_num" and a checksum of ten bytes. Nothing is copied before its size is compared with the file's.
"""

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Optional, Union

import numpy as np

from mindvox.errors import InputError
from mindvox.files import PathLike

TYPES: dict[str, np.dtype] = {
    "Float32": np.dtype("<f4"),
    "Float64": np.dtype("<f8"),
    "Float16": np.dtype("<f2"),
    "BFloat16": np.dtype("<u2"),  # upper half of a float32
    "Int64": np.dtype("<i8"),
    "Int32": np.dtype("<i4"),
    "Int16": np.dtype("<i2"),
    "Int8": np.dtype("i1"),
    "UInt8": np.dtype("u1"),
    "Bool": np.dtype("?"),
}
MAX_AXES = 8
CHECKSUM_MARK = b"crc_num"
CHECKSUM_BYTES = 10
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types of protobuf

Field = tuple[int, Union[int, memoryview]]


class _BadFileError(Exception):
    """A file is wrong; the message does not have its name."""


def read_mindspore(path: PathLike) -> dict[str, np.ndarray]:
    """Return the parameters of a MindSpore checkpoint as arrays of float32 (floating) or int64 (whole numbers).

    Texts that were saved beside them are left out.

    Raises:
        InputError: the file does not exist, has another format, is encrypted or damaged, or sizes do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    try:
        return _parameters(memoryview(path.read_bytes()))
    except _BadFileError as error:
        raise InputError(f"{path}: not a whole MindSpore checkpoint: {error}.") from None


def _parameters(content: memoryview) -> dict[str, np.ndarray]:
    mark = len(content) - CHECKSUM_BYTES - len(CHECKSUM_MARK)
    if mark >= 0 and content[mark : mark + len(CHECKSUM_MARK)] == CHECKSUM_MARK:
        if zlib.crc32(content[:mark]) != int.from_bytes(content[-CHECKSUM_BYTES:], "big"):
            raise _BadFileError("its checksum is wrong")
        content = content[:mark]
    found: dict[str, tuple[list[int], str, list[memoryview]]] = {}
    for value in _messages(content, 1):
        fields = dict(_fields(value))
        name = _text(fields.get(1), "a name")
        if 3 in fields:
            raise _BadFileError(f"{name} is a table of keys, which is not read")
        sizes, kind, numbers = _tensor(_bytes(fields.get(2), name), name)
        if kind == "str":
            continue
        parts = found.setdefault(name, (sizes, kind, []))
        if parts[:2] != (sizes, kind):
            raise _BadFileError(f"{name} is there twice, with other sizes")
        parts[2].append(numbers)
    if not found:
        raise _BadFileError("there are no parameters in it")
    return {name: _array(name, *parts) for name, parts in found.items()}


def _tensor(message: memoryview, name: str) -> tuple[list[int], str, memoryview]:
    """Return sizes, type and numbers of a tensor."""
    sizes: list[int] = []
    kind, numbers = "", None
    for number, value in _fields(message):
        if number == 1:
            sizes += [value] if isinstance(value, int) else list(_varints(value))
        elif number == 2:
            kind = _text(value, f"the type of {name}")
        elif number == 3:
            numbers = _bytes(value, name)
    if numbers is None:
        raise _BadFileError(f"{name} has no numbers")
    return sizes, kind, numbers


def _array(name: str, sizes: list[int], kind: str, parts: list[memoryview]) -> np.ndarray:
    if kind not in TYPES:
        raise _BadFileError(f"{name} is of the type {kind[:40]!r}, which is not read")
    num_bytes = sum(map(len, parts))
    is_possible = len(sizes) <= MAX_AXES and all(0 <= size <= num_bytes for size in sizes)
    shape = () if sizes == [0] and num_bytes else tuple(sizes)  # old versions write [0] for a scalar
    if not is_possible or math.prod(shape) * TYPES[kind].itemsize != num_bytes:
        raise _BadFileError(f"{name} has {num_bytes} bytes, which is not {sizes[:MAX_AXES]} of {kind}")
    array = np.frombuffer(b"".join(parts), TYPES[kind]).reshape(shape)
    if kind == "BFloat16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)


# Protobuf


def _messages(content: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in _fields(content):
        if number == wanted:
            yield _bytes(value, f"field {number}")


def _fields(content: memoryview) -> Iterator[Field]:
    """Yield number and value of each field of a message."""
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        wire = key & 7
        if wire == VARINT:
            value, position = _varint(content, position)
            yield key >> 3, value
            continue
        if wire == BYTES:
            length, position = _varint(content, position)
        elif wire in (FIXED32, FIXED64):
            length = 4 if wire == FIXED32 else 8
        else:
            raise _BadFileError(f"byte {position} is none of this format; is the file encrypted or of another format?")
        if length > len(content) - position:
            raise _BadFileError("it ends too early")
        yield key >> 3, content[position : position + length]
        position += length


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    """Return a number and the position after it."""
    value = 0
    for index in range(10):
        if position + index >= len(content):
            raise _BadFileError("it ends too early")
        byte = content[position + index]
        value |= (byte & 127) << (7 * index)
        if byte < 128:
            return value, position + index + 1
    raise _BadFileError("a number in it is too long")


def _varints(content: memoryview) -> Iterator[int]:
    position = 0
    while position < len(content):
        value, position = _varint(content, position)
        yield value


def _bytes(value: Optional[Union[int, memoryview]], what: str) -> memoryview:
    if not isinstance(value, memoryview):
        raise _BadFileError(f"{what} is missing")
    return value


def _text(value: Optional[Union[int, memoryview]], what: str) -> str:
    try:
        return bytes(_bytes(value, what)).decode()
    except UnicodeDecodeError:
        raise _BadFileError(f"{what} is no text") from None
