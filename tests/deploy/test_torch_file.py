"""Reading torch files without executing them: what is read, and every trick that must end in one clear line."""

import json
import pickle
import pickletools
import random
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mindvox.deploy.torch_file import read_state
from mindvox.errors import InputError

FOLDER = Path(__file__).with_name("reference")


def test_views_types_and_empty_tensors_are_read():
    state = read_state(FOLDER / "views.pt")
    numbers = np.arange(24, dtype=np.float32).reshape(4, 6)
    np.testing.assert_array_equal(state["transposed"], numbers.T)
    np.testing.assert_array_equal(state["window"], numbers[1:3, 2:5])
    for name in ("half", "bfloat16", "double"):
        assert state[name].dtype == np.float32
        np.testing.assert_array_equal(state[name], numbers)
    assert state["scalar"].shape == () and state["scalar"] == 3 and state["scalar"].dtype == np.int64
    assert state["empty"].shape == (0, 5)


def test_reading_needs_no_torch_and_unpickles_nothing():
    code = (
        "import pickle, sys; sys.modules['torch'] = None; pickle.load = pickle.loads = pickle.Unpickler = None\n"
        "from mindvox.deploy.torch_file import read_state\n"
        f"print(len(read_state({str(FOLDER / 'speechbrain.ckpt')!r})))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 200


def torch_file(path: Path, data: bytes, storages: dict[str, bytes] | None = None, **options) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("archive/data.pkl", data)
        for key, content in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", content)
    return path


def binary(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def number(value: int) -> bytes:
    if abs(value) < 2**31:
        return b"J" + struct.pack("<i", value)
    content = pickle.encode_long(value)
    return b"\x8a" + bytes([len(content)]) + content


def tensor(key="0", size=4, offset=0, shape=(4,), strides=(1,), storage="torch\nFloatStorage") -> bytes:
    """Pickle of one tensor, with any of its numbers wrong."""
    axes = [b"(" + b"".join(number(value) for value in values) + b"t" for values in (shape, strides)]
    identity = b"(" + binary("storage") + b"c" + storage.encode() + b"\n" + binary(key) + binary("cpu") + number(size)
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n("
    return rebuild + identity + b"tQ" + number(offset) + axes[0] + axes[1] + b"\x89ccollections\nOrderedDict\n)RtR"


def state(*items: bytes) -> bytes:
    return b"\x80\x02}(" + b"".join(items) + b"u."


def inner(*names: str) -> bytes:
    """Pickle of a state, to stand in another."""
    return b"}(" + b"".join(binary(name) + tensor() for name in names) + b"u"


NUMBERS = np.arange(4, dtype="<f4").tobytes()
INNER = inner("w")
MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def legacy_file(path: Path, data: bytes, storages: dict[str, tuple[int, bytes]], **wrong) -> Path:
    """Write what torch before 1.6 writes: counts and numbers of the storages behind five pickles.

    Args:
        wrong: magic, protocol, machine or keys, when they are not torch's.
    """
    values = (
        *(wrong.get("magic", 0x1950A86A20F9469CFC6C), wrong.get("protocol", 1001), wrong.get("machine", MACHINE)),
        wrong.get("keys", list(storages)),
    )
    parts = [pickle.dumps(value, 2) for value in values]
    parts.insert(3, data)
    path.write_bytes(b"".join(parts + [struct.pack("<q", count) + body for count, body in storages.values()]))
    return path


def test_tensor_built_by_hand_is_read(tmp_path):
    path = torch_file(tmp_path / "a.pt", state(binary("w"), tensor()), {"0": NUMBERS})
    np.testing.assert_array_equal(read_state(path)["w"], [0, 1, 2, 3])


class Payload:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def dangerous(marker: Path) -> dict[str, bytes]:
    """Pickles that execute something when they are unpickled: writing to `marker`, mostly."""
    import os

    command = f"touch {marker}"
    found = {
        f"system, protocol {protocol}": pickle.dumps({"w": Payload(os.system, command)}, protocol)
        for protocol in range(6)
    }
    found |= {
        "exec": pickle.dumps(Payload(exec, f"open({str(marker)!r}, 'w')"), 2),
        "getattr": pickle.dumps({"w": Payload(getattr, {}, "clear")}, 2),
        "nested in a tensor's place": state(binary("w"), pickle.dumps(Payload(os.system, command), 2)[2:-1]),
        "obj opcode": b"(cos\nsystem\n" + binary(command) + b"o.",
        "inst opcode": b"(" + binary(command) + b"ios\nsystem\n.",
        "newobj": b"\x80\x02cos\nsystem\n" + binary(command) + b"\x85\x81.",
        "allowed callable with other arguments": b"\x80\x02ccollections\nOrderedDict\n" + binary("x") + b"\x85R.",
        "build with a state on a class": b"\x80\x02ccollections\nOrderedDict\n}" + binary("a") + binary("b") + b"sb.",
        "extension code": b"\x80\x02\x82\x01.",
        "text as module of an allowed name": b"\x80\x04\x8c\x08torch.os\x8c\x06system\x93" + binary("x") + b"\x85R.",
        "persistent text id": b"P../../etc/passwd\n.",
        "persistent id that is no storage": b"\x80\x02(" + binary("module") + b"cos\nsystem\ntQ.",
    }
    return found


REFUSALS = r"a\.pt: (its data\.pkl, byte \d+: refused|its data\.pkl is damaged at byte \d+|expected a state)"


@pytest.mark.parametrize("trick", dangerous(Path("x")))
def test_nothing_in_a_file_is_executed(tmp_path, trick):
    path = torch_file(tmp_path / "a.pt", dangerous(tmp_path / "executed")[trick])
    with pytest.raises(InputError, match=REFUSALS):
        read_state(path)
    assert not (tmp_path / "executed").exists()


def test_class_of_what_stands_in_a_tensors_place_is_told(tmp_path):
    path = torch_file(tmp_path / "a.pt", state(binary("w"), b"cos\nsystem\n" + binary("true") + b"\x85R"))
    with pytest.raises(InputError, match=r"names with tensors, got w \(an object of os.system\). If you trust"):
        read_state(path)


class Settings:
    """A class that whoever reads the file need not have."""

    def __init__(self):
        self.rate = 16000


def test_objects_beside_a_state_are_skipped_and_not_executed(tmp_path):
    marker = tmp_path / "executed"
    around = {
        "step": 12,
        "settings": Settings(),
        "call": Payload(open, str(marker), "w"),
        "path": Path("somewhere"),
        "rates": {0.5: [1, 2], (1, 2): {3}, None: b"bytes"},
        "frozen": frozenset("ab"),
        "optimizer": {"state": {0: {"step": 1}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "deep": {"nested": {}},
    }
    for protocol in range(6):
        data = pickle.dumps(around, protocol)
        start = b"" if protocol < 2 else b"\x80" + bytes([max(protocol, 2)])
        whole = start + b"}" + binary("others") + skip_protocol(data) + b"s" + binary("model_state") + INNER + b"s."
        path = torch_file(tmp_path / "a.pt", whole, {"0": NUMBERS})
        np.testing.assert_array_equal(read_state(path)["w"], [0, 1, 2, 3])
        path = legacy_file(tmp_path / "b.pt", whole, {"0": (4, NUMBERS)})
        np.testing.assert_array_equal(read_state(path)["w"], [0, 1, 2, 3])
    assert not marker.exists()
    pickle.loads(pickle.dumps(around))["call"].close()
    assert marker.exists()  # so the file would have done it


def skip_protocol(data: bytes) -> bytes:
    """Return a pickle without PROTO, FRAME and STOP: its value on the stack of another."""
    data = data[2:] if data[:1] == b"\x80" else data
    return (data[9:] if data[:1] == b"\x95" else data)[:-1]


def test_state_of_the_most_entries_is_taken_from_below_nested_dictionaries(tmp_path):
    small, large = inner("a"), inner("a", "b")
    path = torch_file(
        tmp_path / "a.pt",
        b"\x80\x02}" + binary("net") + b"}" + binary("encoder") + large + b"s" + binary("head") + small + b"ss.",
        {"0": NUMBERS},
    )
    assert list(read_state(path)) == ["a", "b"]


def test_two_states_of_one_size_are_named(tmp_path):
    path = torch_file(
        tmp_path / "a.pt", state(binary("model"), inner("w"), binary("average"), inner("w")), {"0": NUMBERS}
    )
    with pytest.raises(InputError, match="several states of 1 entries, under model, average: torch.save only the one"):
        read_state(path)


def test_dictionaries_that_hold_each_other_a_thousandfold_do_no_harm(tmp_path):
    doubled = b"}" + b"".join(b"q%c0}(" % 0 + binary("a") + b"h%c" % 0 + binary("b") + b"h%cu" % 0 for _ in range(500))
    cycle = b"}q\x01" + binary("a") + b"h\x01s"
    for data in (doubled, cycle):
        with pytest.raises(InputError, match=r"a\.pt: expected a state"):
            read_state(torch_file(tmp_path / "a.pt", b"\x80\x02" + data + b"."))


def test_tensors_of_other_numbers_are_skipped_unless_they_are_needed(tmp_path):
    bytes_ = tensor(key="1", storage="torch\nByteStorage")
    beside = state(binary("rng"), bytes_, binary("model"), INNER)
    path = torch_file(tmp_path / "a.pt", beside, {"0": NUMBERS, "1": bytes(4)})
    assert list(read_state(path)) == ["w"]
    path = legacy_file(tmp_path / "a.pt", beside, {"1": (4, bytes(4)), "0": (4, NUMBERS)})
    np.testing.assert_array_equal(read_state(path)["w"], [0, 1, 2, 3])
    path = torch_file(tmp_path / "a.pt", state(binary("w"), bytes_), {"1": bytes(4)})
    with pytest.raises(InputError, match="w: numbers of type torch.ByteStorage are not read"):
        read_state(path)


def test_parameters_are_tensors(tmp_path):
    wrapped = b"ctorch._utils\n_rebuild_parameter\n(" + tensor() + b"\x88ccollections\nOrderedDict\n)RtR"
    path = torch_file(tmp_path / "a.pt", state(binary("w"), wrapped), {"0": NUMBERS})
    np.testing.assert_array_equal(read_state(path)["w"], [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"offset": 1}, "leaves its storage of 4"),
        ({"offset": -1}, "impossible shape"),
        ({"shape": (2, 3), "strides": (3, 1)}, "leaves its storage of 4"),
        ({"shape": (2,), "strides": (4,)}, "leaves its storage of 4"),
        ({"shape": (2,), "strides": (-1,)}, "impossible shape"),
        ({"shape": (2**30, 2**30), "strides": (0, 0)}, "leaves its storage of 4"),
        ({"shape": (4,), "strides": ()}, "impossible shape"),
        ({"shape": (1,), "strides": (2**900,)}, "impossible shape"),
        ({"shape": (0, 2**900), "strides": (1, 1)}, "impossible shape"),
        ({"shape": (0, 2**60, 2**60), "strides": (1, 1, 1)}, "impossible shape"),
        ({"size": 5}, "its storage has 16 bytes, not 5 numbers"),
        ({"size": 2**31 - 1, "shape": (2**31 - 1,)}, "bytes, more than the file"),
        ({"size": -1}, "refused: storage '0' of -1 numbers"),
        ({"key": "../../etc/passwd"}, "refused: storage '../../etc/passwd'"),
        ({"key": "7"}, "its storage '7' is not in the file"),
        ({"storage": "torch\nQInt8Storage"}, r"w \(an object of torch.QInt8Storage\)"),
        ({"storage": "torch._utils\n_rebuild_tensor_v2"}, r"w \(an object of torch._utils._rebuild_tensor_v2\)"),
    ],
)
def test_tensor_that_leaves_its_storage_is_refused(tmp_path, wrong, said):
    path = torch_file(tmp_path / "a.pt", state(binary("w"), tensor(**wrong)), {"0": NUMBERS})
    with pytest.raises(InputError, match=said):
        read_state(path)


def test_one_storage_many_times_is_refused_when_the_arrays_outgrow_the_file(tmp_path):
    items = [part for index in range(1000) for part in (binary(str(index)), tensor(size=10**4, shape=(10**4,)))]
    path = torch_file(tmp_path / "a.pt", state(*items), {"0": bytes(4 * 10**4)})
    with pytest.raises(InputError, match="its tensors have 40000000 bytes, more than the file"):
        read_state(path)


def test_tuples_that_double_at_every_step_do_no_harm(tmp_path):
    doubled = b"\x80\x02" + number(1) + b"\x85" + b"".join(b"q%c0h%ch%c\x86" % (0, 0, 0) for _ in range(100))
    # as the state, as a key, as the module of a name
    for ending in (b".", b"}h\x000(h\x00" + number(1) + b"u.", b"h\x00" + binary("x") + b"\x93."):
        with pytest.raises(InputError, match=r"a\.pt: "):
            read_state(torch_file(tmp_path / "a.pt", doubled + ending))


def test_name_that_stands_twice_is_refused(tmp_path):
    path = torch_file(tmp_path / "a.pt", state(binary("w"), tensor(), binary("w"), tensor()), {"0": NUMBERS})
    with pytest.raises(InputError, match="'w' stands twice in its state"):
        read_state(path)


def test_state_with_other_things_is_refused_with_their_names(tmp_path):
    path = torch_file(tmp_path / "a.pt", state(binary("epoch"), number(3), binary("w"), tensor()), {"0": NUMBERS})
    with pytest.raises(InputError, match=r"got epoch \(a value of type int\). If you trust the file, load it"):
        read_state(path)


def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = torch_file(
        tmp_path / "a.pt", state(binary("w"), tensor()), {"0": bytes(10**6)}, compression=zipfile.ZIP_DEFLATED
    )
    with pytest.raises(InputError, match="is compressed, which torch.save never does"):
        read_state(path)


def test_overlapping_entries_are_refused(tmp_path):
    path = torch_file(tmp_path / "a.pt", state(binary("w"), tensor()), {"0": NUMBERS, "1": bytes(1000)})
    content = path.read_bytes()
    directory = content.index(b"PK\x01\x02")
    grown = content[:directory] + content[directory:].replace(
        struct.pack("<II", 16, 16), struct.pack("<II", 2000, 2000)
    )
    path.write_bytes(grown)
    with pytest.raises(InputError, match="entries overlap"):
        read_state(path)


def test_entry_that_stands_twice_is_refused(tmp_path):
    path = torch_file(tmp_path / "a.pt", state(binary("w"), tensor()), {"0": NUMBERS})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning):
        archive.writestr("archive/data/0", NUMBERS)
    with pytest.raises(InputError, match="stands twice"):
        read_state(path)


def test_form_from_before_torch_1_6_is_read():
    state, same = read_state(FOLDER / "legacy.ckpt"), read_state(FOLDER / "speechbrain_classifier.ckpt")
    assert list(state) == list(same) == ["weight"]
    np.testing.assert_array_equal(state["weight"], same["weight"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"magic": 5}, "a pickle, but not of torch.save"),
        ({"magic": "text"}, "a pickle, but not of torch.save"),
        ({"protocol": 1000}, "expected protocol 1001 of torch.save"),
        ({"machine": {**MACHINE, "little_endian": False}}, "big-endian"),
        ({"machine": []}, "big-endian"),
        ({"keys": ["7"]}, "storage '7' has no type"),
        ({"keys": [7]}, "its list of storages is damaged"),
        ({"keys": ["0", "0"]}, "storage '0' has no type, or stands twice"),
        ({"keys": []}, "w: its storage '0' is not in the file"),
    ],
)
def test_damaged_file_of_before_torch_1_6_is_refused(tmp_path, wrong, said):
    path = legacy_file(tmp_path / "a.pt", state(binary("w"), tensor()), {"0": (4, NUMBERS)}, **wrong)
    with pytest.raises(InputError, match=f"a.pt: .*{said}"):
        read_state(path)


@pytest.mark.parametrize(
    ("size", "count", "said"),
    [
        (2**40, 2**40, r"byte \d+: storage '0' takes 4398046511104 bytes, the file ends after 16"),
        (5, 4, r"byte \d+: storage '0' has 4 numbers, not 5"),
        (4, -1, r"byte \d+: storage '0' has 18446744073709551615 numbers, not 4"),
    ],
)
def test_count_in_a_file_of_before_torch_1_6_is_not_trusted(tmp_path, size, count, said):
    path = legacy_file(tmp_path / "a.pt", state(binary("w"), tensor(size=size)), {"0": (count, NUMBERS)})
    with pytest.raises(InputError, match=said):
        read_state(path)


def test_storage_of_two_sizes_is_refused(tmp_path):
    data = state(binary("a"), tensor(), binary("b"), tensor(size=5))
    with pytest.raises(InputError, match=r"its pickle, byte \d+: storage 0 has two types or sizes"):
        read_state(legacy_file(tmp_path / "a.pt", data, {"0": (4, NUMBERS)}))


def test_pickle_without_end_and_endless_pickle_are_refused(tmp_path):
    with pytest.raises(InputError, match="its data.pkl is damaged"):
        read_state(torch_file(tmp_path / "a.pt", b"\x80\x02}"))
    with pytest.raises(InputError, match="its data.pkl, byte 1000001: more than 1000000 opcodes"):
        read_state(torch_file(tmp_path / "a.pt", b"\x80\x02" + b"}0" * 600_000 + b"}."))


@pytest.mark.parametrize(
    "content", [b"", b"text", b"PK\x03\x04", b"\x00" * 100, bytes(range(256)), b"\x80\x02}.", b"\x80"]
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(
        InputError, match=r"a\.pt: (neither a file of torch.save nor|a damaged zip|a pickle, but|its start is)"
    ):
        read_state(tmp_path / "a.pt")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="a.pt: no such file"):
        read_state(tmp_path / "a.pt")


def test_flipped_bytes_in_a_zip_are_found(tmp_path):
    """A flipped byte is found by the zip's checksum, or stands where nothing is read."""
    content = (FOLDER / "views.pt").read_bytes()
    wanted = {name: array.tobytes() for name, array in read_state(FOLDER / "views.pt").items()}
    rng = random.Random(0)
    path = tmp_path / "a.pt"
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 1, 5))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged[: rng.randrange(len(damaged))] if rng.random() < 0.2 else damaged)
        try:
            found = {name: array.tobytes() for name, array in read_state(path).items()}
        except InputError as error:
            assert str(error).startswith(f"{path}: ")
        else:
            assert found == wanted


OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
COUNTS = [
    *(struct.pack("<I", value) for value in (0, 1, 255, 2**31 - 1, 2**32 - 1)),
    *(struct.pack("<Q", value) for value in (0, 2**31, 2**40, 2**63 - 1, 2**64 - 1)),
]
BYTES_FOR_A_BYTE = 100  # Python's objects for the opcodes of a pickle, and zipfile's for entries
BYTES_FOR_A_FILE = 500_000  # buffers of files, error messages


def seeds(marker: Path, folder: Path) -> dict[str, list[bytes]]:
    """Files of every form, and pickles for a zip; some would write `marker` when they are unpickled."""
    with zipfile.ZipFile(FOLDER / "views.pt") as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("data.pkl")]
        written_by_torch = archive.read(name)
    payload = skip_protocol(pickle.dumps({"call": Payload(open, str(marker), "w"), "set": {1, 2.5, None}}, 4))
    beside = b"\x80\x04}" + binary("other") + payload + b"s" + binary("model") + INNER + b"s."
    pickles = [written_by_torch, beside, state(binary("w"), tensor()), *dangerous(marker).values()]
    files = [(FOLDER / name).read_bytes() for name in ("views.pt", "legacy.ckpt")]
    files += [
        legacy_file(folder / "seed.pt", data, {"0": (4, NUMBERS)}).read_bytes()
        for data in (beside, state(binary("w"), tensor()))
    ]
    files.append(safetensors({"w": entry(shape=(2, 2)), "n": entry("I64", (), (16, 24))}, NUMBERS + bytes(8)))
    return {"pickles": pickles, "files": files}


def mutated(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Return a copy with up to five damages: bytes, counts, opcodes; pieces lost, doubled, or of another file."""
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(data) + 1)
        end = at + rng.choice((1, 2, 8, 40))
        other = rng.choice(others)
        from_other = rng.randrange(len(other))
        piece = {
            "byte": lambda: bytes([rng.randrange(256)]),
            "count": lambda: rng.choice(COUNTS),
            "opcode": lambda: rng.choice(OPCODES),
            "loss": lambda: b"",
            "double": lambda at=at, end=end, data=data: data[at:end] * 2,
            "splice": lambda other=other, start=from_other: other[start : start + 60],
        }[rng.choice(("byte", "byte", "count", "opcode", "loss", "double", "splice"))]()
        if rng.random() < 0.5:
            end = at + len(piece)  # in place, so that what follows stays where it is
        data = data[:at] + piece + data[end:]
    return data[: rng.randrange(len(data) + 1)] if rng.random() < 0.05 else data


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_mutated_files_end_in_one_line_or_arrays(tmp_path, number):
    """No traceback, nothing executed, and memory that the size of the file bounds."""
    marker, path = tmp_path / "executed", tmp_path / "a.pt"
    found = seeds(marker, tmp_path)
    rng = random.Random(number)
    num_read = 0
    tracemalloc.start()
    try:
        for _ in range(number):
            kind = rng.choice(("pickles", "files"))
            content = mutated(rng, rng.choice(found[kind]), found[kind])
            if kind == "pickles":
                torch_file(path, content, {"0": NUMBERS})
            else:
                path.write_bytes(content)
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            try:
                arrays = read_state(path)
                num_read += 1
                assert all(array.dtype in (np.float32, np.int64) for array in arrays.values())
            except InputError as error:
                assert str(error).startswith(f"{path}: ")
            taken = tracemalloc.get_traced_memory()[1] - before
            assert taken < BYTES_FOR_A_FILE + BYTES_FOR_A_BYTE * path.stat().st_size, content
    finally:
        tracemalloc.stop()
    assert num_read > number / 100  # else the mutations are too coarse to reach what is behind the first check
    assert not marker.exists()


def safetensors(entries: dict, body: bytes) -> bytes:
    header = json.dumps(entries).encode()
    return struct.pack("<Q", len(header)) + header + body


def entry(kind="F32", shape=(4,), offsets=(0, 16)) -> dict:
    return {"dtype": kind, "shape": list(shape), "data_offsets": list(offsets)}


def test_safetensors_are_read(tmp_path):
    entries = {"__metadata__": {"format": "pt"}, "w": entry(shape=(2, 2)), "n": entry("I64", (), (16, 24))}
    (tmp_path / "a.safetensors").write_bytes(safetensors(entries, NUMBERS + struct.pack("<q", 5)))
    found = read_state(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(found["w"], [[0, 1], [2, 3]])
    assert found["n"] == 5


@pytest.mark.parametrize(
    "wrong",
    [
        entry(offsets=(0, 20)),
        entry(offsets=(-4, 12)),
        entry(offsets=(8, 4)),
        entry(shape=(5,)),
        entry(shape=(-2, -2)),
        entry(shape=("a",)),
        entry(shape=(1,) * 9 + (4,)),
        entry(shape=(0, 10**30), offsets=(0, 0)),
        entry(kind="F8_E4M3"),
        entry(kind=3),
        {"dtype": "F32"},
        [],
    ],
)
def test_safetensors_that_do_not_fit_are_refused(tmp_path, wrong):
    (tmp_path / "a.safetensors").write_bytes(safetensors({"w": wrong}, NUMBERS))
    with pytest.raises(InputError, match=r"a\.safetensors: w: "):
        read_state(tmp_path / "a.safetensors")


@pytest.mark.parametrize("header", [b"{", b'{"a":' * 10**5, b"[]", b'{"w": 1e999999}', b"\xff" * 8])
def test_damaged_safetensors_headers_are_refused(tmp_path, header):
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(InputError, match=r"a\.safetensors: "):
        read_state(tmp_path / "a.safetensors")
