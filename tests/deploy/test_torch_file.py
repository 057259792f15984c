"""Reading torch files without executing them: what is read, and every trick that must end in one clear line."""

import json
import pickle
import random
import struct
import subprocess
import sys
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


NUMBERS = np.arange(4, dtype="<f4").tobytes()


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


@pytest.mark.parametrize("trick", dangerous(Path("x")))
def test_nothing_in_a_file_is_executed(tmp_path, trick):
    path = torch_file(tmp_path / "a.pt", dangerous(tmp_path / "executed")[trick])
    with pytest.raises(InputError, match=r"a\.pt: (refused|its data.pkl is damaged|expected a state)"):
        read_state(path)
    assert not (tmp_path / "executed").exists()


def test_refused_name_is_told(tmp_path):
    path = torch_file(tmp_path / "a.pt", b"\x80\x02cos\nsystem\n" + binary("true") + b"\x85R.")
    with pytest.raises(InputError, match="refused: it asks for 'os.system', and nothing is run from a file of weights"):
        read_state(path)


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
        ({"storage": "torch\nQInt8Storage"}, "asks for 'torch.QInt8Storage'"),
        ({"storage": "torch._utils\n_rebuild_tensor_v2"}, "refers to something other than a storage"),
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
    with pytest.raises(InputError, match="epoch are no tensors. Save the model's state_dict alone"):
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


def test_legacy_form_is_refused_with_advice():
    with pytest.raises(InputError, match="written by torch before 1.6.*torch.save its state_dict again"):
        read_state(FOLDER / "legacy.ckpt")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x00" * 100, bytes(range(256))])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.pt: (neither a file of torch.save nor|a damaged zip)"):
        read_state(tmp_path / "a.pt")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="a.pt: no such file"):
        read_state(tmp_path / "a.pt")


def test_damaged_files_end_in_one_line_or_in_the_same_arrays(tmp_path):
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


def test_damaged_pickles_end_in_one_line(tmp_path):
    """Here the checksum is right: whatever the opcodes say, nothing but an InputError or arrays comes out."""
    with zipfile.ZipFile(FOLDER / "views.pt") as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("data.pkl")]
        content = archive.read(name)
        storages = {key.rsplit("/", 1)[1]: archive.read(key) for key in archive.namelist() if "/data/" in key}
    rng = random.Random(1)
    for _ in range(500):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 2, 5))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            found = read_state(torch_file(tmp_path / "a.pt", bytes(damaged), storages))
        except InputError as error:
            assert str(error).startswith(str(tmp_path))
        else:
            assert all(isinstance(array, np.ndarray) for array in found.values())


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
