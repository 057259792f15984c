"""Interpret a pickle of `torch.save` without executing anything in it.

Unpickling runs whatever a file asks for, so nothing is unpickled here: `pickletools` splits the pickle into opcodes,
and a small machine follows them. It imports, looks up and calls nothing; names of classes stay text. It builds texts,
numbers, lists, tuples, dictionaries and descriptions of tensors. Anything else, such as an optimiser or
hyperparameters of any class, becomes an `Opaque` value, which is only the name of its class.

Memory is bounded: no nested value is ever hashed, compared or formatted, and the number of opcodes is limited.
"""

import math
import pickletools
import re
import warnings
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Optional

ORDERED_DICT = "collections.OrderedDict"
DICTIONARIES = ("collections.defaultdict", "builtins.dict", "__builtin__.dict")
REBUILD_TENSOR = {"torch._utils._rebuild_tensor_v2": (6, 7), "torch._utils._rebuild_tensor": (4,)}
REBUILD_PARAMETER = "torch._utils._rebuild_parameter"
STORAGES = {  # bytes per number; None: such tensors are not read
    "torch.FloatStorage": ("<f4", 4),
    "torch.DoubleStorage": ("<f8", 8),
    "torch.HalfStorage": ("<f2", 2),
    "torch.BFloat16Storage": ("bfloat16", 2),
    "torch.LongStorage": ("<i8", 8),
    "torch.IntStorage": ("<i4", 4),
    "torch.ShortStorage": (None, 2),
    "torch.CharStorage": (None, 1),
    "torch.ByteStorage": (None, 1),
    "torch.BoolStorage": (None, 1),
    "torch.ComplexFloatStorage": (None, 8),
    "torch.ComplexDoubleStorage": (None, 16),
}
MAX_OPCODES = 10**6  # a state of 300 tensors with Adam's moments takes 30,000
MAX_AXES = 8
LIMIT = 2**60  # of every count: products of longer numbers take forever


class BadFileError(Exception):
    """A file is wrong; the message does not have its name."""


@dataclass(frozen=True)
class Global:
    """A class or function that the pickle names; never looked up."""

    name: str


@dataclass(frozen=True, eq=False)
class Opaque:
    """An object that is not interpreted.

    Attributes:
        name: name of its class, or of the function that would build it.
    """

    name: str


@dataclass(frozen=True)
class Storage:
    """A run of numbers that is stored elsewhere in the file.

    Attributes:
        key: digits that identify it in the file.
        kind: torch's class, a key of STORAGES.
        size: number of numbers.
    """

    key: str
    kind: str
    size: int

    @property
    def item_size(self) -> int:
        """Bytes of a number."""
        return STORAGES[self.kind][1]

    @property
    def num_bytes(self) -> int:
        """Bytes of all numbers."""
        return self.size * self.item_size


@dataclass(frozen=True)
class TensorView:
    """A view of a storage; offset and strides count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Pickle:
    """A pickle's value, and the storages that it refers to, by key."""

    value: Any
    storages: dict[str, Storage]


def read_pickle(stream: BinaryIO, what: str) -> Pickle:
    """Follow the pickle at a stream's position, to its end.

    Args:
        what: name of the pickle, for errors.

    Raises:
        BadFileError: it is damaged or too long, or uses something that no file of tensors needs; with the byte
            position.
    """
    position: Optional[int] = stream.tell()
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python's, about unusual escapes in a text
            for count, (opcode, argument, found_at) in enumerate(pickletools.genops(stream)):
                position = found_at
                if opcode.name == "STOP":
                    (value,) = machine.stack
                    return Pickle(value, machine.storages)
                if count >= MAX_OPCODES:
                    raise BadFileError(f"more than {MAX_OPCODES} opcodes.")
                machine.step(opcode.name, argument)
    except BadFileError as error:
        raise BadFileError(f"{what}, byte {position}: {error}") from None
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {str(error)[:100]}"
        raise BadFileError(f"{what} is damaged at byte {position} ({reason}). Get the file again.") from None
    raise BadFileError(f"{what} is damaged: it has no end. Get the file again.")


@dataclass
class _Machine:
    """State of the pickle machine.

    Attributes:
        stack: values being built.
        marks: heights of the stack at each MARK.
        memo: values for reuse.
        storages: all storages that were referenced.
    """

    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)

    def step(self, name: str, argument: Any) -> None:
        """Follow one opcode."""
        if name in PUSHED:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memo[argument])
        elif name == "GLOBAL":
            self.stack.append(Global(argument.replace(" ", ".")))
        elif name == "INST":
            self._pop_marked()
            self.stack.append(Opaque(argument.replace(" ", ".")))
        elif name not in ("PROTO", "FRAME"):
            method = METHODS.get(name)
            if method is None:
                raise BadFileError(f"refused: it uses {name}, which no file of tensors needs.")
            method(self)

    def _pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise ValueError("the stack is empty")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def _pop_marked(self) -> list[Any]:
        return self._pop(max(0, len(self.stack) - self.marks.pop()))

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def memoize(self) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def pop(self) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def pop_mark(self) -> None:
        self._pop_marked()

    def duplicate(self) -> None:
        self.stack.append(self.stack[-1])

    def new_dict(self) -> None:
        self.stack.append({})

    def new_list(self) -> None:
        self.stack.append([])

    def new_set(self) -> None:
        self.stack.append(Opaque("set"))

    def marked_tuple(self) -> None:
        self.stack.append(tuple(self._pop_marked()))

    def tuple_of_1(self) -> None:
        self.stack.append(tuple(self._pop(1)))

    def tuple_of_2(self) -> None:
        self.stack.append(tuple(self._pop(2)))

    def tuple_of_3(self) -> None:
        self.stack.append(tuple(self._pop(3)))

    def marked_list(self) -> None:
        self.stack.append(self._pop_marked())

    def marked_dict(self) -> None:
        items = self._pop_marked()
        self.stack.append({})
        self._set_items(items)

    def marked_set(self) -> None:
        self._pop_marked()
        self.stack.append(Opaque("set"))

    def append(self) -> None:
        self._extend(self._pop(1))

    def appends(self) -> None:
        self._extend(self._pop_marked())

    def set_item(self) -> None:
        self._set_items(self._pop(2))

    def set_items(self) -> None:
        self._set_items(self._pop_marked())

    def add_items(self) -> None:
        self._pop_marked()
        self._check_target(Opaque)

    def stack_global(self) -> None:
        self.stack.append(Global(".".join(self._pop(2))))  # join accepts only texts: formatting nested values explodes

    def persistent(self) -> None:
        found = _storage(self.stack.pop())
        if isinstance(found, Storage) and self.storages.setdefault(found.key, found) != found:
            raise BadFileError(f"storage {found.key} has two types or sizes.")
        self.stack.append(found)

    def reduce(self) -> None:
        function, arguments = self._pop(2)
        self.stack.append(self._call(function, arguments))

    def new_object(self) -> None:
        class_, _ = self._pop(2)
        self.stack.append(_opaque(class_))

    def new_object_with_keywords(self) -> None:
        class_, _, _ = self._pop(3)
        self.stack.append(_opaque(class_))

    def marked_object(self) -> None:
        self.stack.append(_opaque(self._pop_marked()[0]))

    def build(self) -> None:
        """Skip the attributes of an object, such as the version numbers that torch gives its OrderedDict."""
        self.stack.pop()
        self._check_target(dict, list, Opaque, TensorView)

    def _check_target(self, *types: type) -> None:
        if not isinstance(self.stack[-1], types):
            raise BadFileError(f"refused: it changes {kind_of(self.stack[-1])}.")

    def _extend(self, values: list[Any]) -> None:
        self._check_target(list, dict, Opaque)
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def _set_items(self, items: list[Any]) -> None:
        self._check_target(dict, Opaque)
        target = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(target, Opaque):
                continue
            # Other keys may be nested values, which take forever to hash; an Opaque value replaces each.
            name = key if isinstance(key, (str, int)) else Opaque(kind_of(key))
            if name in target:
                raise BadFileError(f"{str(name)[:100]!r} stands twice in its state.")
            target[name] = value

    def _call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            return _opaque(function)
        if function.name == ORDERED_DICT:
            return _ordered_dict(arguments)
        if function.name in DICTIONARIES:
            return {}
        if len(arguments) in REBUILD_TENSOR.get(function.name, ()):
            return _tensor(*arguments[:4])
        if function.name == REBUILD_PARAMETER and arguments and isinstance(arguments[0], TensorView):
            return arguments[0]
        return _opaque(function)


PUSHED = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "SHORT_BINSTRING", "BINSTRING"),
        *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
METHODS = {
    "MARK": _Machine.mark,
    "MEMOIZE": _Machine.memoize,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.duplicate,
    "EMPTY_DICT": _Machine.new_dict,
    "EMPTY_LIST": _Machine.new_list,
    "EMPTY_SET": _Machine.new_set,
    "TUPLE": _Machine.marked_tuple,
    "TUPLE1": _Machine.tuple_of_1,
    "TUPLE2": _Machine.tuple_of_2,
    "TUPLE3": _Machine.tuple_of_3,
    "LIST": _Machine.marked_list,
    "DICT": _Machine.marked_dict,
    "FROZENSET": _Machine.marked_set,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "ADDITEMS": _Machine.add_items,
    "STACK_GLOBAL": _Machine.stack_global,
    "BINPERSID": _Machine.persistent,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.new_object,
    "NEWOBJ_EX": _Machine.new_object_with_keywords,
    "OBJ": _Machine.marked_object,
    "BUILD": _Machine.build,
}


def _opaque(class_: Any) -> Opaque:
    return Opaque(class_.name if isinstance(class_, (Global, Opaque)) else kind_of(class_))


def kind_of(value: Any) -> str:
    """Return a short description of a value."""
    if isinstance(value, (Global, Opaque)):
        return f"an object of {value.name[:100]}"
    return "a tensor" if isinstance(value, TensorView) else f"a value of type {type(value).__name__}"


def _ordered_dict(arguments: tuple[Any, ...]) -> Any:
    """Return the result of OrderedDict() or OrderedDict([[key, value], ...]); Python 2 writes the second form."""
    if not arguments:
        return {}
    pairs = arguments[0]
    if len(arguments) != 1 or not isinstance(pairs, list):
        return Opaque(ORDERED_DICT)
    if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
        return Opaque(ORDERED_DICT)
    return dict(pairs)


def _storage(identity: Any) -> Any:
    """Return the storage that a persistent id names. `torch.save` before 1.6 has a sixth part, None for no view."""
    match identity:
        case ("storage", Global(name), str(key), str(), int(size)) | (
            "storage",
            Global(name),
            str(key),
            str(),
            int(size),
            None,
        ):
            if not re.fullmatch(r"[0-9]{1,40}", key) or isinstance(size, bool) or not 0 <= size < LIMIT:
                raise BadFileError(f"refused: storage {key[:100]!r} of {str(size)[:100]} numbers.")
            return Storage(key, name, size) if name in STORAGES else Opaque(name)
    return Opaque("a persistent id")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> Any:
    if isinstance(storage, Opaque):
        return storage
    numbers = (offset, *shape, *strides) if isinstance(shape, tuple) and isinstance(strides, tuple) else (None,)
    whole = all(isinstance(number, int) and not isinstance(number, bool) and 0 <= number < LIMIT for number in numbers)
    if not isinstance(storage, Storage) or not whole or len(shape) != len(strides) or len(shape) > MAX_AXES:
        raise BadFileError("refused: a tensor without storage, or with an impossible shape.")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if math.prod(shape) > storage.size or (math.prod(shape) and last >= storage.size):
        raise BadFileError(f"a tensor {shape} at {offset} with strides {strides} leaves its storage of {storage.size}.")
    return TensorView(storage, offset, shape, strides)
