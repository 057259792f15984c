"""Arrays from a file of `torch.save` or safetensors, without torch and without executing anything in it.

A torch file is a zip whose `data.pkl` is a pickle, and unpickling runs whatever the file asks for. So nothing is
unpickled here: `pickletools` splits the pickle into opcodes, and a small machine follows the few that a state of
tensors needs. It imports, looks up and calls nothing: names of classes stay text, the only two "calls" it knows build
an empty dictionary and the description of a tensor, and any other name or opcode is an error that names it. Keys of
dictionaries are texts, so that no nested value is ever hashed. Sizes are checked before anything is allocated: entries
of the zip must be uncompressed and together no greater than the file, a tensor no greater than its storage, all
tensors together no greater than the file. Names of entries are looked up in the zip and never become paths.
"""

import json
import math
import pickletools
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mindvox.errors import InputError
from mindvox.files import PathLike

ORDERED_DICT = "collections.OrderedDict"
REBUILD_TENSOR = "torch._utils._rebuild_tensor_v2"
STORAGES = {
    "torch.FloatStorage": "<f4",
    "torch.DoubleStorage": "<f8",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
}
SAFETENSORS = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": "bfloat16", "I64": "<i8", "I32": "<i4"}
MAX_HEADER = 2**22  # bytes of a pickle or header; a state of 300 tensors takes 40 kB
MAX_AXES = 8
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how a file of torch before 1.6 begins


def read_state(path: PathLike) -> dict[str, np.ndarray]:
    """Read a flat state, {name: tensor}, as arrays of float32 (floating) or int64 (whole numbers).

    The format follows from the content: zip files are torch's, others are taken for safetensors.

    Raises:
        InputError: no such file; another format; damaged; it asks for anything but tensors; or sizes do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    with open(path, "rb") as stream:
        start = stream.read(len(LEGACY_MAGIC))
    if start == LEGACY_MAGIC:
        raise InputError(
            f"{path}: written by torch before 1.6 or with _use_new_zipfile_serialization=False. This form is not read: "
            "load it where you trust it, and torch.save its state_dict again with a current torch."
        )
    try:
        return _read_zip(path) if start.startswith(b"PK\x03\x04") else _read_safetensors(path)
    except _BadFileError as error:
        raise InputError(f"{path}: {str(error)[:1000]}") from None


class _BadFileError(Exception):
    """What is wrong with the file, without its name."""


@dataclass(frozen=True)
class _Global:
    """A class or function that the pickle names; never looked up."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """A run of numbers in the zip."""

    key: str
    dtype: str
    size: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage, in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


# The zip


def _read_zip(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _entries(archive, path.stat().st_size)
            pickles = [name for name in entries if re.fullmatch(r"[^/]+/data\.pkl", name)]
            if len(pickles) != 1:
                raise _BadFileError(f"a zip, but not of torch.save: expected one data.pkl, got {len(pickles)}.")
            root = pickles[0].removesuffix("data.pkl")
            if entries[pickles[0]].file_size > MAX_HEADER:
                raise _BadFileError(
                    f"its data.pkl has {entries[pickles[0]].file_size} bytes, more than a state can need."
                )
            if f"{root}byteorder" in entries and archive.read(entries[f"{root}byteorder"]) != b"little":
                raise _BadFileError("written on a big-endian machine, which is not read.")
            tensors = _flat_state(_interpret(archive.read(entries[pickles[0]])))
            _check_total(tensors, path.stat().st_size)
            buffers: dict[str, np.ndarray] = {}
            arrays = {}
            for name, tensor in tensors.items():
                storage = tensor.storage
                entry = entries.get(f"{root}data/{storage.key}")
                if entry is None:
                    raise _BadFileError(f"{name}: its storage {storage.key!r} is not in the file.")
                if entry.file_size != storage.size * _item_size(storage.dtype):
                    raise _BadFileError(f"{name}: its storage has {entry.file_size} bytes, not {storage.size} numbers.")
                if storage.key not in buffers:
                    buffers[storage.key] = np.frombuffer(archive.read(entry), np.uint8)
                arrays[name] = _view(name, tensor, buffers[storage.key])
            return arrays
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise _BadFileError(f"a damaged zip ({error}). Get the file again.") from None


def _entries(archive: zipfile.ZipFile, file_size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by name: stored as they are, each name once, together within the file."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise _BadFileError(f"its entry {info.filename!r} is compressed, which torch.save never does.")
        if info.flag_bits & 1:
            raise _BadFileError(f"its entry {info.filename!r} is encrypted.")
        if info.filename in entries:
            raise _BadFileError(f"its entry {info.filename!r} stands twice.")
        entries[info.filename] = info
    if sum(info.file_size for info in entries.values()) > file_size:
        raise _BadFileError("its entries overlap: together they are greater than the file.")
    return entries


def _view(name: str, tensor: _Tensor, buffer: np.ndarray) -> np.ndarray:
    storage = tensor.storage
    if storage.dtype == "bfloat16":  # the upper half of a float32
        numbers = (buffer.view("<u2").astype("<u4") << 16).view("<f4")
    else:
        numbers = buffer.view(storage.dtype)
    step = numbers.itemsize
    try:
        view = np.lib.stride_tricks.as_strided(
            numbers[tensor.offset :], tensor.shape, [stride * step for stride in tensor.strides], writeable=False
        )
    except (ValueError, OverflowError):  # an axis of 0 or 1 frees the others' sizes and its own stride of any bound
        raise _BadFileError(f"{name}: an impossible shape.") from None
    return np.ascontiguousarray(view, np.float32 if numbers.dtype.kind == "f" else np.int64).reshape(tensor.shape)


def _item_size(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def _check_total(tensors: dict[str, _Tensor], file_size: int) -> None:
    total = sum(math.prod(tensor.shape) * _item_size(tensor.storage.dtype) for tensor in tensors.values())
    if total > file_size:
        raise _BadFileError(f"its tensors have {total} bytes, more than the file.")


# The pickle


def _flat_state(value: Any) -> dict[str, _Tensor]:
    if not isinstance(value, dict):
        raise _BadFileError(f"expected a state, names with tensors, got a {type(value).__name__.strip('_').lower()}.")
    other = [name for name, item in value.items() if not isinstance(item, _Tensor)]
    if other:
        raise _BadFileError(
            f"expected a state, names with tensors, but {_some(other)} are no tensors. "
            "Save the model's state_dict alone."
        )
    return value


def _interpret(data: bytes) -> Any:
    """Follow the opcodes of a pickle that holds a state of tensors, and return it."""
    machine = _Machine([], [], {})
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                break
            machine.step(opcode.name, argument)
        (result,) = machine.stack
    except (ValueError, IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise _BadFileError(f"its data.pkl is damaged ({type(error).__name__}: {str(error)[:100]}).") from None
    return result


@dataclass
class _Machine:
    """State of the pickle machine.

    Attributes:
        stack: values being built.
        marks: heights of the stack where MARK stood.
        memo: values that are used again.
    """

    stack: list[Any]
    marks: list[int]
    memo: dict[int, Any]

    def step(self, name: str, argument: Any) -> None:
        """Follow one opcode."""
        if name in ("PROTO", "FRAME"):
            return
        if name in PUSHED:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name == "MARK":
            self.marks.append(len(self.stack))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name == "EMPTY_DICT":
            self.stack.append({})
        elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            self.stack.append(tuple(self._pop_marked() if name == "TUPLE" else self._pop(int(name[5:]))))
        elif name == "GLOBAL":
            self.stack.append(_known(argument.replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            self.stack.append(
                _known(".".join(self._pop(2)))
            )  # join takes texts alone: formatting nested values explodes
        elif name == "BINPERSID":
            self.stack.append(_storage(self.stack.pop()))
        elif name == "REDUCE":
            function, arguments = self._pop(2)
            self.stack.append(_reduce(function, arguments))
        elif name == "SETITEM":
            self._set_items(self._pop(2))
        elif name == "SETITEMS":
            self._set_items(self._pop_marked())
        elif name == "BUILD":  # an OrderedDict's attributes: torch keeps version numbers there
            self.stack.pop()
            if not isinstance(self.stack[-1], dict):
                raise _BadFileError("refused: it sets the state of an object that is no dictionary.")
        else:
            raise _BadFileError(f"refused: its pickle uses {name}, which a state of tensors does not need.")

    def _pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise ValueError("the stack is empty")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def _pop_marked(self) -> list[Any]:
        return self._pop(len(self.stack) - self.marks.pop())

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(target, dict) or not isinstance(key, str):
                raise _BadFileError("refused: it sets an item that is not a dictionary's under a text.")
            if key in target:
                raise _BadFileError(f"{key!r} stands twice in its state.")
            target[key] = value


PUSHED = frozenset(
    ("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINFLOAT")
)
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


def _known(name: str) -> _Global:
    if name not in STORAGES and name not in (ORDERED_DICT, REBUILD_TENSOR):
        raise _BadFileError(
            f"refused: it asks for {name[:100]!r}, and nothing is run from a file of weights. A state of tensors needs "
            f"{ORDERED_DICT}, {REBUILD_TENSOR} and the storages {', '.join(STORAGES)} alone."
        )
    return _Global(name)


def _reduce(function: Any, arguments: Any) -> Any:
    if function == _Global(ORDERED_DICT) and arguments == ():
        return {}
    if function == _Global(REBUILD_TENSOR) and isinstance(arguments, tuple) and len(arguments) in (6, 7):
        return _tensor(*arguments[:4])
    raise _BadFileError("refused: it calls something other than the rebuilding of a tensor.")


def _storage(identity: Any) -> _Storage:
    match identity:
        case ("storage", _Global(name), str(key), str(), int(size)) if name in STORAGES:
            if not re.fullmatch(r"[0-9]+", key) or isinstance(size, bool) or size < 0:
                raise _BadFileError(f"refused: storage {key[:100]!r} of {size} numbers.")
            return _Storage(key, STORAGES[name], size)
    raise _BadFileError("refused: it refers to something other than a storage of numbers.")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> _Tensor:
    numbers = (offset, *shape, *strides) if isinstance(shape, tuple) and isinstance(strides, tuple) else (None,)
    whole = all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in numbers)
    if not isinstance(storage, _Storage) or not whole or len(shape) != len(strides) or len(shape) > MAX_AXES:
        raise _BadFileError("refused: a tensor without storage, or with an impossible shape.")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if math.prod(shape) > storage.size or (math.prod(shape) and last >= storage.size):
        raise _BadFileError(
            f"a tensor {shape} at {offset} with strides {strides} leaves its storage of {storage.size}."
        )
    return _Tensor(storage, offset, shape, strides)


# safetensors


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    if len(data) < 10 or size > min(len(data) - 8, MAX_HEADER) or data[8:9] != b"{":
        raise _BadFileError("neither a file of torch.save nor of safetensors.")
    try:
        header = json.loads(data[8 : 8 + size])
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise _BadFileError("its safetensors header is damaged. Get the file again.") from None
    header.pop("__metadata__", None)
    body = memoryview(data)[8 + size :]
    tensors, places = {}, {}
    for name, entry in header.items():
        match entry:
            case {"dtype": str(kind), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
                pass
            case _:
                raise _BadFileError(f"{name}: its entry in the header lacks dtype, shape or data_offsets.")
        if kind not in SAFETENSORS:
            raise _BadFileError(f"{name}: numbers of type {kind!r} are not read.")
        if len(shape) > MAX_AXES or not all(type(size) is int and size >= 0 for size in shape):
            raise _BadFileError(f"{name}: an impossible shape.")
        count = math.prod(shape)
        if not 0 <= begin <= end <= len(body) or end - begin != count * _item_size(SAFETENSORS[kind]):
            raise _BadFileError(f"{name}: bytes {begin} to {end} are no array {shape} of {kind} in the file.")
        strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
        tensors[name] = _Tensor(_Storage(name, SAFETENSORS[kind], count), 0, tuple(shape), strides)
        places[name] = slice(begin, end)
    _check_total(tensors, len(data))
    return {name: _view(name, tensor, np.frombuffer(body[places[name]], np.uint8)) for name, tensor in tensors.items()}


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(name[:60] for name in names[:3]) + more
