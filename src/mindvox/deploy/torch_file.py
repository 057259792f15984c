"""Read arrays from a file of `torch.save` or safetensors, without torch and without executing anything in it.

torch writes a pickle and the numbers of its tensors: since 1.6 as entries of a zip, before that consecutively in one
file. `torch_pickle` interprets the pickle and executes nothing. Sizes are checked before anything is allocated:
entries of the zip must be uncompressed and together no larger than the file, a tensor no larger than its storage, a
storage no larger than the existing bytes, and all tensors together no larger than the file. Names of entries are
looked up in the zip and never become paths.
"""

import io
import itertools
import json
import math
import re
import zipfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mindvox.deploy.torch_pickle import (
    LIMIT,
    MAX_AXES,
    STORAGES,
    BadFileError,
    Storage,
    TensorView,
    kind_of,
    read_pickle,
)
from mindvox.errors import InputError
from mindvox.files import PathLike

SAFETENSORS = {
    "F32": "torch.FloatStorage",
    "F64": "torch.DoubleStorage",
    "F16": "torch.HalfStorage",
    "BF16": "torch.BFloat16Storage",
    "I64": "torch.LongStorage",
    "I32": "torch.IntStorage",
}
MAX_HEADER = 2**22  # bytes of the pickles or of a safetensors header; a state of 300 tensors takes 40 kB
MAX_DEPTH = 4  # nested dictionaries around a state
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file of torch before 1.6
LEGACY_PROTOCOL = 1001  # the second
ADVICE = "If you trust the file, load it with torch and torch.save only the model's state_dict()."
COUNT_BYTES = 8  # bytes of the count before the numbers of each storage


def read_state(path: PathLike) -> dict[str, np.ndarray]:
    """Read a state, {name: tensor}, as arrays of float32 (floating) or int64 (whole numbers).

    The format follows from the content: torch's zip, torch's form before 1.6, or safetensors. A checkpoint may hold the
    state under a key or in nested dictionaries, beside an optimiser and other objects: the dictionary of texts and
    tensors with the most entries is the state, and everything else is ignored.

    Raises:
        InputError: the file does not exist, has another format or is damaged, it has no state or several, or sizes do
            not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    with open(path, "rb") as stream:
        start = stream.read(9)
    try:
        if start.startswith(b"PK\x03\x04"):
            return _read_zip(path)
        return _read_legacy(path) if start[:1] == b"\x80" and start[8:] != b"{" else _read_safetensors(path)
    except BadFileError as error:
        raise InputError(f"{path}: {str(error)[:1000]}") from None


# The zip


def _read_zip(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _entries(archive, path.stat().st_size)
            pickles = [name for name in entries if re.fullmatch(r"[^/]+/data\.pkl", name)]
            if len(pickles) != 1:
                raise BadFileError(f"a zip, but not of torch.save: expected one data.pkl, got {len(pickles)}.")
            root = pickles[0].removesuffix("data.pkl")
            num_bytes = entries[pickles[0]].file_size
            if num_bytes > MAX_HEADER:
                raise BadFileError(f"its data.pkl has {num_bytes} bytes, more than a state can need.")
            if f"{root}byteorder" in entries and archive.read(entries[f"{root}byteorder"]) != b"little":
                raise BadFileError("written on a big-endian machine, which is not read.")
            pickle = read_pickle(io.BytesIO(archive.read(entries[pickles[0]])), "its data.pkl")

            def read(name: str, storage: Storage) -> bytes:
                entry = entries.get(f"{root}data/{storage.key}")
                if entry is None:
                    raise BadFileError(f"{name}: its storage {storage.key!r} is not in the file.")
                if entry.file_size != storage.num_bytes:
                    raise BadFileError(f"{name}: its storage has {entry.file_size} bytes, not {storage.size} numbers.")
                return archive.read(entry)

            return _arrays(_find_state(pickle.value), path.stat().st_size, read)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise BadFileError(f"a damaged zip ({error}). Get the file again.") from None


def _entries(archive: zipfile.ZipFile, file_size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by name after checks: uncompressed, unique names, together within the file."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise BadFileError(f"its entry {info.filename!r} is compressed, which torch.save never does.")
        if info.flag_bits & 1:
            raise BadFileError(f"its entry {info.filename!r} is encrypted.")
        if info.filename in entries:
            raise BadFileError(f"its entry {info.filename!r} stands twice.")
        entries[info.filename] = info
    if sum(info.file_size for info in entries.values()) > file_size:
        raise BadFileError("its entries overlap: together they are greater than the file.")
    return entries


# The form from before torch 1.6


def _read_legacy(path: Path) -> dict[str, np.ndarray]:
    """Read five pickles (magic number, protocol, machine, value, keys of storages) and the storages' numbers."""
    file_size = path.stat().st_size
    with open(path, "rb") as stream:
        start = io.BytesIO(stream.read(min(file_size, MAX_HEADER)))  # read() allocates what it is asked for
        magic = read_pickle(start, "its start").value
        if type(magic) is not int or magic != LEGACY_MAGIC:
            raise BadFileError("a pickle, but not of torch.save.")
        protocol = read_pickle(start, "its protocol").value
        if type(protocol) is not int or protocol != LEGACY_PROTOCOL:
            raise BadFileError(f"expected protocol {LEGACY_PROTOCOL} of torch.save, got another.")
        machine = read_pickle(start, "its description of the machine").value
        if not isinstance(machine, dict) or machine.get("little_endian") is not True:
            raise BadFileError("written on a big-endian machine, which is not read.")
        pickle = read_pickle(start, "its pickle")
        keys = read_pickle(start, "its list of storages").value
        places = _legacy_places(keys, pickle.storages, start.tell(), file_size, stream)

        def read(name: str, storage: Storage) -> bytes:
            if storage.key not in places:
                raise BadFileError(f"{name}: its storage {storage.key!r} is not in the file.")
            stream.seek(places[storage.key])
            return stream.read(storage.num_bytes)

        return _arrays(_find_state(pickle.value), file_size, read)


def _legacy_places(
    keys: Any, storages: dict[str, Storage], position: int, file_size: int, stream: BinaryIO
) -> dict[str, int]:
    """Return the start of each storage's numbers; the file has their count before them."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise BadFileError("its list of storages is damaged. Get the file again.")
    places: dict[str, int] = {}
    for key in keys:
        storage = storages.get(key)
        if storage is None or key in places:
            raise BadFileError(f"byte {position}: storage {_short(key)!r} has no type, or stands twice.")
        stream.seek(position)
        size = int.from_bytes(stream.read(COUNT_BYTES), "little")
        position += COUNT_BYTES
        if size != storage.size:
            raise BadFileError(f"byte {position}: storage {_short(key)!r} has {size} numbers, not {storage.size}.")
        if storage.num_bytes > file_size - position:
            raise BadFileError(
                f"byte {position}: storage {_short(key)!r} takes {storage.num_bytes} bytes, the file ends after "
                f"{max(0, file_size - position)}. Get the file again."
            )
        places[key] = position
        position += storage.num_bytes
    return places


# The state


def _find_state(value: Any) -> dict[str, TensorView]:
    """Return the dictionary of texts and tensors with the most entries: the value itself, or one below it.

    Dictionaries are followed if their keys are texts. An optimiser stores its tensors under numbers.
    """
    if not isinstance(value, dict):
        raise BadFileError(f"expected a state, names with tensors, got {kind_of(value)}. {ADVICE}")
    waiting: deque[tuple[tuple[str, ...], dict]] = deque([((), value)])
    seen = {id(value)}
    states: list[tuple[tuple[str, ...], dict]] = []
    while waiting:
        path, found = waiting.popleft()
        if _is_state(found):
            states.append((path, found))
        elif len(path) < MAX_DEPTH:
            for name, item in found.items():
                if isinstance(item, dict) and isinstance(name, str) and id(item) not in seen:
                    seen.add(id(item))  # a repeated or recursive one is followed once
                    waiting.append(((*path, name), item))
    if not states:
        other = [f"{_short(str(name))} ({kind_of(item)})" for name, item in _first_others(value)]
        more = "" if len(other) < 4 else " and more"
        raise BadFileError(
            f"expected a state, names with tensors, got {', '.join(other[:3]) or 'an empty dictionary'}{more}. {ADVICE}"
        )
    most = max(len(state) for _, state in states)
    greatest = [(path, state) for path, state in states if len(state) == most]
    if len(greatest) > 1:
        names = [".".join(map(_short, path)) for path, _ in greatest]
        raise BadFileError(
            f"it holds several states of {most} entries, under {_some(names)}: torch.save only the one that you mean."
        )
    return greatest[0][1]


def _is_state(found: dict) -> bool:
    tensors = all(isinstance(name, str) and isinstance(item, TensorView) for name, item in found.items())
    return bool(found) and tensors


def _first_others(value: dict) -> list[tuple[Any, Any]]:
    """Return the first entries, at most four, because of which a dictionary is not a state."""
    others = ((name, item) for name, item in value.items() if not isinstance(item, TensorView))
    return list(itertools.islice(others, 4))


# The numbers


def _arrays(
    state: dict[str, TensorView], file_size: int, read: Callable[[str, Storage], bytes]
) -> dict[str, np.ndarray]:
    """Return the arrays of a state; `read` returns the bytes of a storage for the tensor of this name."""
    for name, tensor in state.items():
        if STORAGES[tensor.storage.kind][0] is None:
            raise BadFileError(f"{_short(name)}: numbers of type {tensor.storage.kind} are not read.")
    total = sum(math.prod(tensor.shape) * tensor.storage.item_size for tensor in state.values())
    if total > file_size:
        raise BadFileError(f"its tensors have {total} bytes, more than the file.")
    buffers: dict[Storage, np.ndarray] = {}
    arrays = {}
    for name, tensor in state.items():
        if tensor.storage not in buffers:
            buffers[tensor.storage] = np.frombuffer(read(_short(name), tensor.storage), np.uint8)
        arrays[name] = _array(name, tensor, buffers[tensor.storage])
    return arrays


def _array(name: str, tensor: TensorView, buffer: np.ndarray) -> np.ndarray:
    dtype = STORAGES[tensor.storage.kind][0]
    numbers = buffer.view("<u2" if dtype == "bfloat16" else dtype)
    step = numbers.itemsize
    try:
        view = np.lib.stride_tricks.as_strided(
            numbers[tensor.offset :], tensor.shape, [stride * step for stride in tensor.strides], writeable=False
        )
    except (ValueError, OverflowError):  # with an axis of 0 or 1, other sizes and strides have no bound
        raise BadFileError(f"{_short(name)}: an impossible shape.") from None
    if dtype == "bfloat16":  # upper half of a float32
        view = (view.astype("<u4") << 16).view("<f4")
    return np.ascontiguousarray(view, np.float32 if view.dtype.kind == "f" else np.int64).reshape(tensor.shape)


# safetensors


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    file_size = path.stat().st_size
    with open(path, "rb") as stream:
        size = int.from_bytes(stream.read(COUNT_BYTES), "little")
        if file_size < 10 or size > min(file_size - COUNT_BYTES, MAX_HEADER):
            raise BadFileError("neither a file of torch.save nor of safetensors.")
        text = stream.read(size)
        if text[:1] != b"{":
            raise BadFileError("neither a file of torch.save nor of safetensors.")
        try:
            header = json.loads(text)
        except (UnicodeDecodeError, ValueError, RecursionError):
            raise BadFileError("its safetensors header is damaged. Get the file again.") from None
        header.pop("__metadata__", None)
        body = COUNT_BYTES + size
        places = {name: _safetensors_entry(name, entry, file_size - body) for name, entry in header.items()}

        def read(name: str, storage: Storage) -> bytes:
            stream.seek(body + int(storage.key))
            return stream.read(storage.num_bytes)

        return _arrays(places, file_size, read)


def _safetensors_entry(name: str, entry: Any, room: int) -> TensorView:
    """Return an entry's tensor; the key of its storage is the start of its bytes.

    Args:
        room: number of bytes after the header.
    """
    name = _short(name)
    match entry:
        case {"dtype": str(kind), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            pass
        case _:
            raise BadFileError(f"{name}: its entry in the header lacks dtype, shape or data_offsets.")
    if kind not in SAFETENSORS:
        raise BadFileError(f"{name}: numbers of type {_short(kind)!r} are not read.")
    if len(shape) > MAX_AXES or not all(type(size) is int and 0 <= size < LIMIT for size in shape):
        raise BadFileError(f"{name}: an impossible shape.")
    count = math.prod(shape)
    storage = Storage(str(int(begin)), SAFETENSORS[kind], count)
    if not 0 <= begin <= end <= room or end - begin != storage.num_bytes:
        raise BadFileError(f"{name}: bytes {begin} to {end} are no array {shape} of {kind} in the file.")
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return TensorView(storage, 0, tuple(shape), strides)


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:57]}..."


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
