"""MindSpore checkpoints of mindaudio and the model zoo: what is read, what is refused, what becomes of them."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor

from mindvox.deploy.import_weights import build, main
from mindvox.deploy.mindspore_file import read_mindspore
from mindvox.errors import InputError
from mindvox.models.checkpoint import read_checkpoint
from mindvox.registry import TOOLKITS
from tests.vectors.networks import Network

CONTENT = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.array([[0.5], [-2.0]], np.float16),
    "steps": np.array([5], np.int64),
    "beta1_power": np.float32(0.9),  # a number without axes
}
OF_TRAINING = ["classifier.weight", "output", "moment1.network.fc.bias", "global_step"]


def save(path, content, **options):
    entries = [{"name": name, "data": Parameter(Tensor(value), name=name)} for name, value in content.items()]
    ms.save_checkpoint(entries, str(path), **options)
    return path


def field(number, content):
    """Return a field of bytes in protobuf's form."""
    size, length = len(content), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def entry(name, sizes, kind, numbers):
    tensor = b"".join(b"\x08" + size for size in sizes) + field(2, kind) + field(3, numbers)
    return field(1, field(1, name) + field(2, tensor))


@pytest.fixture(scope="module")
def network():
    return Network("ma_ecapa_tiny")


@pytest.mark.parametrize("checked", [False, True])
def test_parameters_are_read_as_mindspore_wrote_them_and_texts_left_out(checked, tmp_path):
    path = save(tmp_path / "x.ckpt", CONTENT, append_dict={"epoch_num": 3, "note": "text"}, crc_check=checked)
    found = read_mindspore(path)
    assert found.keys() == {*CONTENT, "epoch_num"}
    for name, value in CONTENT.items():
        assert found[name].dtype == (np.int64 if name == "steps" else np.float32)
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_parts_of_a_large_parameter_are_joined_and_packed_sizes_read(tmp_path):
    first, second = np.float32([1, 2]).tobytes(), np.float32([3, 4]).tobytes()
    packed = field(1, field(1, b"b") + field(2, field(1, b"\x02\x01") + field(2, b"BFloat16") + field(3, b"\xc0?\0@")))
    path = tmp_path / "x.ckpt"
    path.write_bytes(entry(b"a", [b"\x04"], b"Float32", first) + entry(b"a", [b"\x04"], b"Float32", second) + packed)
    found = read_mindspore(path)
    np.testing.assert_array_equal(found["a"], [1, 2, 3, 4])
    np.testing.assert_array_equal(found["b"], [[1.5], [2.0]])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "there are no parameters in it"),
        (b"PK\x03\x04" + bytes(60), "is none of this format"),
        (entry(b"a", [b"\x02"], b"Float32", b"1234"), r"a has 4 bytes, which is not \[2\] of Float32"),
        (entry(b"a", [b"\xff" * 9 + b"\x01"], b"Float32", b"1234"), "a has 4 bytes, which is not"),
        (entry(b"a", [b"\xff" * 11], b"Float32", b"1234"), "a number in it is too long"),
        (entry(b"a", [b"\x01"], b"Complex64", b"12345678"), "a is of the type 'Complex64', which is not read"),
        (entry(b"\xff", [b"\x01"], b"Float32", b"1234"), "a name is no text"),
        (
            entry(b"a", [b"\x01"], b"Float32", b"1234") + entry(b"a", [b"\x02"], b"Float32", bytes(8)),
            "a is there twice",
        ),
        (field(1, field(1, b"a") + field(3, b"")), "a is a table of keys, which is not read"),
        (field(1, field(1, b"a")), "a is missing"),
        (field(1, field(1, b"a") + field(2, field(2, b"Float32"))), "a has no numbers"),
        (entry(b"a", [b"\x01"], b"Float32", b"1234")[:-1], "it ends too early"),
        (entry(b"a", [b"\x01"], b"Float32", b"1234") + b"crc_num" + bytes(10), "its checksum is wrong"),
    ],
)
def test_what_no_checkpoint_has_is_refused_in_one_line(content, said, tmp_path):
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"x.ckpt: not a whole MindSpore checkpoint: .*{said}") as caught:
        read_mindspore(path)
    assert len(str(caught.value)) < 400


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_mindspore(tmp_path / "x.ckpt")


def test_every_damage_ends_in_one_line_or_in_arrays(tmp_path):
    whole = save(tmp_path / "x.ckpt", CONTENT).read_bytes()
    rng, path, refused = np.random.default_rng(0), tmp_path / "y.ckpt", 0
    for trial in range(3000):
        damaged = bytearray(whole[: rng.integers(len(whole))] if trial % 3 == 0 else whole)
        for _ in range(rng.integers(1, 4) if damaged else 0):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            found = read_mindspore(path)
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert sum(array.size for array in found.values()) <= len(damaged)
    assert refused > 1000


@pytest.mark.parametrize(
    ("toolkit", "prefix"), [("modelzoo", "network."), ("mindaudio", "network."), ("mindaudio", "")]
)
def test_checkpoint_of_a_training_is_imported(toolkit, prefix, network, tmp_path, capsys):
    content = {prefix + name: array for name, array in network.state.items()}
    if prefix:
        content |= {name: np.ones((2, 2), np.float32) for name in OF_TRAINING}
    source = save(tmp_path / "train_ecapa_vox2_full-2_664204.ckpt", content)
    assert main([str(source), "--from", toolkit, "--to", str(tmp_path / "x.ckpt")]) == 0
    arrays, meta = read_checkpoint(tmp_path / "x.ckpt")
    sizes = {"name": "ecapa_tdnn", "in_channels": 40, "channels": 32, "emb_size": 32}
    assert meta["model"] == {**sizes, "global_context": False, "padding": "zero"}
    name_of = TOOLKITS.get(toolkit).architectures[0].name
    own = {name_of(name.removeprefix("model.")): array for name, array in arrays.items()}
    assert own.keys() == network.state.keys()
    for name, array in own.items():
        np.testing.assert_array_equal(array, network.state[name], err_msg=name)
    said = capsys.readouterr().out
    assert (f"left out: {', '.join(OF_TRAINING)}" in said) == bool(prefix)
    front_end = meta["front_end"]
    assert front_end["n_mels"] == 40 and front_end["hop_length_ms"] == 10.0
    if toolkit == "modelzoo":
        assert front_end["type"] == "fbank"
    else:
        assert (front_end["type"], front_end["window"], front_end["log"]) == ("mel_spectrogram", "hann", "db")
        assert (front_end["top_db"], front_end["normalisation"]) == (80.0, "mean")


def test_evaluating_such_a_file_says_how_it_is_imported(tmp_path):
    with pytest.raises(InputError, match=r"its meta is missing.*`mindvox import --from modelzoo`"):
        read_checkpoint(save(tmp_path / "x.ckpt", CONTENT, crc_check=True))


def test_what_does_not_fit_is_listed(network):
    wrong = {**network.state, "asp.extra": np.ones(2), "fc.bias": np.ones(3)}
    del wrong["mfa.norm.norm2d.beta"]
    with pytest.raises(InputError) as caught:
        build("mindaudio", wrong, "x")
    assert str(caught.value).splitlines()[1:] == [
        "  mfa.norm.norm2d.beta is missing",
        "  asp.extra (2,) is not in the model",
        "  fc.bias is (3,), expected (32,)",
    ]


@pytest.mark.parametrize("name", ["mfa.conv.weight", "fc.weight"])
def test_sizes_that_do_not_fit_are_refused_before_building(name, network, monkeypatch):
    monkeypatch.setattr("mindvox.models.create_model", None)
    huge = np.broadcast_to(np.float32(0), (32, 10**7, 1, 1))
    with pytest.raises(InputError, match="x: not mindaudio's ECAPA-TDNN: the sizes of its layers do not fit together"):
        build("mindaudio", {**network.state, name: huge}, "x")
