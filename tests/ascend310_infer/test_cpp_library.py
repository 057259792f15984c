"""libmindvox as users build and install it: the examples in C, C++ and Python, against Python's Embedder and NumPy.

Under the address sanitizer: --all runs this file again with an instrumented library.
"""

import array
import ctypes
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.embedder import Embedder
from mindvox.engines.exported import description_path
from mindvox.files import sha256_file
from mindvox.speakers.store import unit_rows
from tests.ascend310_infer.binding import CORPUS, EXAMPLES, ROOT, binding
from tests.ascend310_infer.conftest import LINK_PACKAGES, need
from tests.deploy.toy import make_checkpoint, write_toy

LIBRARY = "MINDVOX_TEST_LIBRARY"  # another libmindvox.so to test
SAMPLE_RATE = 16000
COSINE = 0.99999  # float32 sums in another order
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
ARGUMENT, HANDLE, MODEL, AUDIO, EXISTS, NOT_FOUND = 1, 2, 3, 4, 6, 7


def must(*command: object, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def installed(program, tmp_path_factory) -> Path:
    """A folder with what `cmake --install` puts there."""
    need(LINK_PACKAGES)
    prefix = tmp_path_factory.mktemp("installed")
    must("cmake", "--install", program.parent, "--prefix", prefix)
    return prefix


@pytest.fixture(scope="module")
def library(request) -> binding.Library:
    path = os.environ.get(LIBRARY)
    return binding.Library(path or str(request.getfixturevalue("installed") / "lib" / "libmindvox.so"))


@pytest.fixture(scope="module")
def worked(tmp_path_factory) -> Path:
    """A folder with exported models and four recordings of 16 bits, the last at another rate."""
    folder = tmp_path_factory.mktemp("library")
    checkpoint = make_checkpoint(folder / "ckpt")
    write_toy(checkpoint, folder / "free.onnx", "--length=0", "--batch_size=0")
    write_toy(checkpoint, folder / "fixed.xml", "--length=150", "--batch_size=2")
    sources = sorted(CORPUS.glob("**/*.flac"))[:4]
    for row in range(4):
        noise = np.random.default_rng(row).uniform(-0.5, 0.5, 20000 + 9000 * row)
        samples = soundfile.read(sources[row])[0] if sources else noise
        rate = SAMPLE_RATE if row < 3 else 22050
        soundfile.write(folder / f"{row}.wav", samples[: 4 * SAMPLE_RATE], rate, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def embedder(library, worked) -> binding.Embedder:
    return binding.Embedder(library, str(worked / "free.onnx"), num_threads=1)


def floats(values: np.ndarray) -> array.array:
    return array.array("f", np.asarray(values, np.float32).tobytes())


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def built_by_cmake(installed: Path, folder: Path) -> tuple[Path, Path]:
    flags = [f"-DCMAKE_{language}_FLAGS={' '.join(WARNINGS)}" for language in ("C", "CXX")]
    must("cmake", "-S", EXAMPLES, "-B", folder, f"-DCMAKE_PREFIX_PATH={installed}", "-DCMAKE_C_STANDARD=99", *flags)
    must("cmake", "--build", folder)
    return folder / "compare", folder / "identify"


def built_by_pkg_config(installed: Path, folder: Path) -> tuple[Path, Path]:
    paths = {"PKG_CONFIG_PATH": str(installed / "lib" / "pkgconfig")}
    flags = must("pkg-config", "--cflags", "--libs", "mindvox", **paths).split()
    assert must("pkg-config", "--modversion", "mindvox", **paths).strip() == version_of_project()
    flags += [*WARNINGS, f"-Wl,-rpath,{installed / 'lib'}"]
    must("cc", "-std=c99", EXAMPLES / "compare.c", *flags, "-o", folder / "compare")
    must("c++", "-std=c++17", EXAMPLES / "identify.cc", *flags, "-o", folder / "identify")
    return folder / "compare", folder / "identify"


def version_of_project() -> str:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def check_examples(compare: Path, identify: Path, worked: Path, output: Path) -> None:
    """Both programs, with Python's numbers."""
    model = worked / "free.onnx"
    files = [worked / f"{row}.wav" for row in range(4)]
    python = Embedder.open(model)
    expected = np.stack([python.embed(path) for path in files])
    for a, b in ((0, 1), (2, 3)):
        said = must(compare, model, files[a], files[b], output)
        made = np.fromfile(output, np.float32).reshape(2, -1)
        assert cosine(made[0], expected[a]) >= COSINE and cosine(made[1], expected[b]) >= COSINE
        assert float(said.split()[1]) == pytest.approx(cosine(expected[a], expected[b]), abs=1e-5)

    said = must(identify, model, "-1", f"Anna={files[0]}", f"Anna={files[1]}", f"Bert={files[2]}", files[3])
    unit = unit_rows(expected)
    expected_of = {"Anna": cosine(unit[:2].mean(axis=0), unit[3]), "Bert": cosine(unit[2], unit[3])}
    words = said.removeprefix(f"{files[3]}:").split()
    found = {name: float(number) for name, number in zip(words[::2], words[1::2], strict=True)}
    assert found == pytest.approx(expected_of, abs=1e-5)
    assert list(found) == sorted(found, key=lambda name: -found[name])
    assert must(identify, model, "1", f"Anna={files[0]}", files[3]) == f"{files[3]}: unknown\n"

    for command in ([compare, worked / "no.onnx", *files[:2]], [compare, model, files[0], EXAMPLES / "compare.c"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and re.search(r"^error: .*(no such model|not a readable audio file)", done.stderr)


@pytest.mark.parametrize("build", [built_by_cmake, built_by_pkg_config])
def test_examples_in_c_and_cpp_give_pythons_embeddings(installed, worked, tmp_path, build):
    compare, identify = build(installed, tmp_path)
    check_examples(compare, identify, worked, tmp_path / "embeddings")


def test_example_in_python_prints_the_cosine(library, worked):
    """In a process of its own, without this one's packages."""
    command = [EXAMPLES / "mindvox_ctypes.py", library._library._name, worked / "free.onnx"]
    said = must(sys.executable, "-I", *command, worked / "0.wav", worked / "1.wav")
    python = Embedder.open(worked / "free.onnx")
    expected = cosine(python.embed(worked / "0.wav"), python.embed(worked / "1.wav"))
    assert float(said.split()[1]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("model", ["free.onnx", "fixed.xml"])
def test_samples_of_any_type_and_rate_have_pythons_embedding(library, worked, model):
    found = binding.Embedder(library, str(worked / model), num_threads=1)
    python = Embedder.open(worked / model)
    assert (found.embedding_size, found.sample_rate) == (python.emb_size, SAMPLE_RATE)
    assert found.engine.startswith("openvino ") and found.engine.endswith(" CPU f32")
    for row, rate in ((0, SAMPLE_RATE), (3, 22050)):
        samples = soundfile.read(worked / f"{row}.wav", dtype="int16")[0]
        expected = python.embed(samples, rate)
        made = found.embed(array.array("h", samples.tobytes()), rate)
        assert cosine(made, expected) >= COSINE
        assert found.embed(floats(samples / 32768), rate) == made
        assert found.embed_file(str(worked / f"{row}.wav")) == made
    found.close()


def test_long_recordings_go_in_windows(library, worked):
    samples = np.tile(soundfile.read(worked / "0.wav", dtype="float32")[0], 3)
    found = binding.Embedder(library, str(worked / "free.onnx"), num_threads=1, max_frames=100)
    expected = Embedder.open(worked / "free.onnx", max_frames=100).embed(samples)
    assert cosine(found.embed(floats(samples), SAMPLE_RATE), expected) >= COSINE
    found.close()


def test_samples_that_cannot_be_used_are_errors_of_audio(embedder):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, SAMPLE_RATE)
    broken = noise.copy()
    broken[5000] = np.nan
    for samples, reason in (
        (noise[:0], "no samples"),
        (noise[:800], "too short: 0.050 s, shorter than min_duration 0.1 s"),
        (np.zeros(SAMPLE_RATE), "constant signal"),
        (np.sign(noise), "clipped: 100.0% of its samples"),
        (broken, "NaN or infinite samples"),
        (30 * noise, "where full scale is 1"),
    ):
        with pytest.raises(binding.MindvoxError, match=re.escape(reason)) as caught:
            embedder.embed(floats(samples), SAMPLE_RATE)
        assert caught.value.status == AUDIO
    for path, reason in (("missing.wav", "missing.wav: "), (__file__, "not a readable audio file")):
        with pytest.raises(binding.MindvoxError, match=re.escape(reason)) as caught:
            embedder.embed_file(path)
        assert caught.value.status == AUDIO
    assert len(embedder.embed(floats(noise), SAMPLE_RATE)) == embedder.embedding_size


def test_wrong_arguments_are_errors_that_name_them(library, embedder):
    noise = floats(np.random.default_rng(0).uniform(-0.5, 0.5, SAMPLE_RATE))
    pointer, size = binding._pointer(noise), embedder.embedding_size
    for arguments, reason in (
        ((embedder.handle, pointer, len(noise), 0, pointer, size), "sample_rate: expected 2000 to 768000 Hz, got 0"),
        ((embedder.handle, None, len(noise), SAMPLE_RATE, pointer, size), "samples: expected a pointer, got NULL"),
        ((embedder.handle, pointer, len(noise), SAMPLE_RATE, None, size), "embedding: expected a pointer, got NULL"),
        ((embedder.handle, pointer, len(noise), SAMPLE_RATE, pointer, size + 1), f"expected {size} numbers, got"),
    ):
        with pytest.raises(binding.MindvoxError, match=re.escape(reason)) as caught:
            library.call("embed", *arguments)
        assert caught.value.status == ARGUMENT
    zero = floats(np.zeros(4))
    with pytest.raises(binding.MindvoxError, match="an embedding is zero") as caught:
        binding.cosine_of(library, zero, zero)
    assert caught.value.status == ARGUMENT
    with pytest.raises(binding.MindvoxError, match="cosine: expected a pointer"):
        library.call("cosine", pointer, pointer, 4, None)


def test_models_that_cannot_be_run_are_errors_of_the_model(library, worked, tmp_path):
    content = (worked / "free.onnx").read_bytes()
    description = json.loads(description_path(worked / "free.onnx").read_text())
    (tmp_path / "undescribed.onnx").write_bytes(content)
    for name, is_described in (("cut", False), ("damaged", True)):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content[:5000])
        changes = {"file_sha256": sha256_file(path)} if is_described else {}
        description_path(path).write_text(json.dumps({**description, **changes}))
    for path, reason in (
        (tmp_path / "missing.onnx", "missing.onnx: no such model"),
        (tmp_path / "undescribed.onnx", "undescribed.onnx.json"),
        (tmp_path / "cut.onnx", "not the file that "),
        (tmp_path / "damaged.onnx", "damaged.onnx: OpenVINO cannot load it"),
    ):
        with pytest.raises(binding.MindvoxError, match=re.escape(reason)) as caught:
            binding.Embedder(library, str(path))
        assert caught.value.status == MODEL


def test_options_that_are_wrong_are_errors_that_name_them(library, worked):
    for options, reason in (
        ({"num_threads": -1}, "num_threads: expected 1 to 1024"),
        ({"num_workers": 2000}, "num_workers: expected 1 to 1024"),
        ({"precision": 7}, "precision: expected a value of mindvox_precision"),
        ({"precision": 1}, "OpenVINO on a CPU has f32 and bf16"),
        ({"device": 3}, "device: expected a value of mindvox_device"),
        ({"reserved": 1}, "reserved: expected 0"),
        ({"max_frames": 3}, "max_frames: expected at least "),
        ({"max_frames": -2}, "max_frames: expected at least -1"),
        ({"min_duration_s": float("nan")}, "min_duration_s: expected at least 0"),
        ({"max_clipped_fraction": -1.0}, "max_clipped_fraction: expected at least 0"),
        ({"lite_config": b"c.ini"}, "is for .mindir models"),  # the last member is where the library expects it
    ):
        with pytest.raises(binding.MindvoxError, match=re.escape(reason)) as caught:
            binding.Embedder(library, str(worked / "free.onnx"), **options)
        assert caught.value.status == ARGUMENT, reason
    lenient = binding.Embedder(library, str(worked / "free.onnx"), max_clipped_fraction=1.0, max_frames=-1)
    signs = np.sign(np.random.default_rng(0).uniform(-0.5, 0.5, SAMPLE_RATE))
    assert len(lenient.embed(floats(signs), SAMPLE_RATE)) == lenient.embedding_size
    lenient.close()


class LaterOptions(ctypes.Structure):
    """mindvox_options of a header that is later than the library."""

    _fields_ = [*binding.Options._fields_, ("member_of_later", ctypes.c_int64)]


def test_programs_of_a_later_header_run_unless_they_ask_for_what_is_not_there(library, worked):
    def create(**members: int) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        options = LaterOptions(struct_size=members.pop("struct_size", ctypes.sizeof(LaterOptions)), **members)
        pointer = ctypes.cast(ctypes.byref(options), ctypes.POINTER(binding.Options))
        library.call("embedder_create", str(worked / "free.onnx").encode(), pointer, ctypes.byref(handle))
        return handle

    library.call("embedder_destroy", create())
    for members, reason in (
        ({"member_of_later": 1}, "a member is set that"),
        ({"struct_size": 8}, "Begin with MINDVOX_"),
    ):
        with pytest.raises(binding.MindvoxError, match=reason) as caught:
            create(**members)
        assert caught.value.status == ARGUMENT


def test_programs_of_an_earlier_header_get_the_members_that_they_know(library, embedder):
    new = ("min_samples", "window_samples", "window_step_samples")
    size = getattr(binding.Description, new[0]).offset
    description = binding.Description(struct_size=size, **dict.fromkeys(new, -1))
    library.call("embedder_describe", embedder.handle, ctypes.byref(description))
    assert description.embedding_size == embedder.embedding_size and description.engine
    assert [getattr(description, name) for name in new] == [-1, -1, -1]
    assert embedder.min_samples == 8 * 160 and embedder.window_samples == embedder.window_step_samples == 0
    description.struct_size = size - 1
    with pytest.raises(binding.MindvoxError, match="description: expected struct_size"):
        library.call("embedder_describe", embedder.handle, ctypes.byref(description))


def test_versions_agree(library, installed):
    header = (installed / "include" / "mindvox" / "mindvox.h").read_text()
    numbers = [int(re.search(rf"MINDVOX_VERSION_{part} (\d+)", header)[1]) for part in ("MAJOR", "MINOR", "PATCH")]
    assert ".".join(map(str, numbers)) == version_of_project()
    assert library.version == 10000 * numbers[0] + 100 * numbers[1] + numbers[2]
    abi = re.search(r"MINDVOX_ABI (\d+)", header)[1]
    assert (installed / "lib" / f"libmindvox.so.{abi}").exists()


def test_library_shows_the_functions_of_its_header_alone(installed):
    shown = must("nm", "-D", "--defined-only", installed / "lib" / "libmindvox.so")
    names = {line.split()[2] for line in shown.splitlines()}
    header = (installed / "include" / "mindvox" / "mindvox.h").read_text()
    declared = set(re.findall(r"MINDVOX_API [\w* ]+?(mindvox_\w+)\(", header))
    assert names == declared
    assert declared == {*binding.SIGNATURES, "mindvox_version", "mindvox_last_error"}


def test_handles_that_are_none_are_errors(library, worked):
    embedder = binding.Embedder(library, str(worked / "free.onnx"), num_threads=1)
    speakers = binding.Speakers(library, 4)
    count, buffer = ctypes.c_size_t(), (ctypes.c_float * 6)()
    embed = ("embed", ctypes.cast(buffer, binding.FLOATS), 6, SAMPLE_RATE, ctypes.cast(buffer, binding.FLOATS), 6)

    def refused(name: str, handle: object, *arguments: object) -> str:
        with pytest.raises(binding.MindvoxError) as caught:
            library.call(name, handle, *arguments)
        assert caught.value.status == HANDLE
        return str(caught.value)

    assert refused(embed[0], None, *embed[1:]) == "expected a handle of an embedder, got NULL."
    assert "destroyed or is none" in refused(embed[0], speakers.handle, *embed[1:])
    assert "a handle of speakers" in refused("speakers_count", embedder.handle, ctypes.byref(count))
    assert "a handle of matches" in refused("matches_count", 12345, ctypes.byref(count))
    embedder.close()
    speakers.close()
    assert "destroyed or is none" in refused(embed[0], embedder.handle, *embed[1:])
    refused("embedder_destroy", embedder.handle)
    refused("speakers_destroy", speakers.handle)
    for kind in ("embedder", "speakers", "matches"):
        library.call(f"{kind}_destroy", None)


def test_error_texts_belong_to_their_thread(library):
    speakers = binding.Speakers(library, 2)
    with pytest.raises(binding.MindvoxError, match="no speaker 'Anna'"):
        speakers.remove("Anna")
    texts = []
    thread = threading.Thread(target=lambda: texts.append(library._library.mindvox_last_error()))
    thread.start()
    thread.join()
    assert texts == [b""]
    assert library._library.mindvox_last_error() == b"there is no speaker 'Anna'."
    speakers.close()


def test_set_of_speakers_finds_what_numpy_finds(library):
    rng = np.random.default_rng(0)
    size = 27
    enrolled = {f"spk{i:03}": rng.standard_normal((1 + i % 3, size)).astype(np.float32) for i in range(300)}
    speakers = binding.Speakers(library, size)
    for name, embeddings in enrolled.items():
        speakers.add(name, [floats(row) for row in embeddings])
    for i in range(0, 300, 7):
        speakers.remove(f"spk{i:03}")
        del enrolled[f"spk{i:03}"]
    assert len(speakers) == len(enrolled) and speakers.names() == sorted(enrolled)
    assert "spk001" in speakers and "spk007" not in speakers
    names = list(enrolled)
    centroids = unit_rows(np.stack([unit_rows(rows).mean(axis=0) for rows in enrolled.values()]).astype(np.float64))
    for _ in range(20):
        probe = rng.standard_normal(size).astype(np.float32)
        cosines = centroids @ (probe / np.linalg.norm(probe.astype(np.float64)))
        best = np.argsort(-cosines)
        found = speakers.search(floats(probe), 0.1, 10)
        expected = [names[row] for row in best[:10] if cosines[row] >= 0.1]
        assert [name for name, _ in found] == expected
        np.testing.assert_allclose([value for _, value in found], cosines[best[: len(found)]], rtol=0, atol=3e-7)
        for name, value in found[:2]:
            assert speakers.verify(name, floats(probe), value) == (True, value)
            assert speakers.verify(name, floats(probe), value + 1e-6) == (False, value)
    speakers.close()


def test_set_of_speakers_refuses_by_code(library):
    speakers = binding.Speakers(library, 2)
    east = floats(np.array([1, 0]))
    speakers.add("Änne", [east])
    assert speakers.search(east, 0.5, 3) == [("Änne", 1.0)]
    for call, status, reason in (
        (lambda: speakers.add("Änne", [east]), EXISTS, "there is a speaker 'Änne' already"),
        (lambda: speakers.remove("Bert"), NOT_FOUND, "there is no speaker 'Bert'"),
        (lambda: speakers.verify("Bert", east, 0.5), NOT_FOUND, "there is no speaker 'Bert'"),
        (lambda: speakers.verify("Änne", east, float("nan")), ARGUMENT, "threshold"),
        (lambda: speakers.add("", [east]), ARGUMENT, "empty text"),
        (lambda: speakers.add("x", []), ARGUMENT, "num_embeddings"),
        (lambda: speakers.add("x", [floats(np.array([np.inf, 0]))]), ARGUMENT, "NaN or infinity"),
        (lambda: speakers.search(floats(np.zeros(2)), 0, 1), ARGUMENT, "no direction"),
        (lambda: speakers.search(floats(np.ones(3)), 0, 1), ARGUMENT, "expected 2 numbers, got 3"),
        (lambda: binding.Speakers(library, 0), ARGUMENT, "embedding_size: expected at least 1"),
    ):
        with pytest.raises(binding.MindvoxError, match=re.escape(reason)) as caught:
            call()
        assert caught.value.status == status
    assert len(speakers) == 1
    speakers.close()


def test_threads_share_an_embedder_and_may_outlive_its_handle(library, worked):
    """ctypes releases Python's lock during a call."""
    embedder = binding.Embedder(library, str(worked / "free.onnx"), num_threads=1, num_workers=2)
    samples = [read for read, _ in (binding.read_wav(str(worked / f"{row}.wav")) for row in range(3))]
    expected = [embedder.embed(values, SAMPLE_RATE) for values in samples]
    found, stopped = [], []

    def work(row: int) -> None:
        try:
            while True:
                found.append(embedder.embed(samples[row], SAMPLE_RATE) == expected[row])
        except binding.MindvoxError as error:
            stopped.append(error.status)

    threads = [threading.Thread(target=work, args=(row,)) for row in range(3)]
    for thread in threads:
        thread.start()
    while len(found) < 20 and any(thread.is_alive() for thread in threads):
        pass
    embedder.close()
    for thread in threads:
        thread.join()
    assert stopped == [HANDLE] * 3 and len(found) >= 20 and all(found)


GROWTH = """
import sys
sys.path.insert(0, sys.argv[1])
import array, random
import mindvox_ctypes as binding
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4
library = binding.Library(sys.argv[2])
embedder = binding.Embedder(library, sys.argv[3], num_threads=1)
speakers = binding.Speakers(library, embedder.embedding_size)
samples = array.array("f", (random.uniform(-0.5, 0.5) for _ in range(48000)))
def work(count):
    for i in range(count):
        embedding = embedder.embed(samples, 16000)
        speakers.add("someone", [embedding])
        assert speakers.search(embedding, 0.9, 1)[0][0] == "someone"
        speakers.remove("someone")
        try:
            embedder.embed(samples[:9], 16000)
        except binding.MindvoxError:
            pass
count = int(sys.argv[4])
work(100)
before = resident()
work(count)
print(resident() - before)
"""


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_embedding_again_and_again_takes_no_more_memory(library, worked, count):
    arguments = [EXAMPLES, library._library._name, worked / "free.onnx", count]
    grown_kb = int(must(sys.executable, "-c", GROWTH, *arguments))
    assert grown_kb < 1024


def test_loading_again_and_again_leaves_no_threads(library, worked):
    def load(count: int) -> int:
        for _ in range(count):
            binding.Embedder(library, str(worked / "free.onnx"), num_threads=2).close()
        return len(os.listdir("/proc/self/task"))

    assert load(2) == load(5)


@pytest.mark.slow
def test_nothing_is_found_by_the_address_sanitizer(checks, worked, tmp_path, monkeypatch):
    """The examples, then this file with an instrumented library, in a Python that is not."""
    if os.environ.get(LIBRARY):
        pytest.skip("runs inside itself")
    monkeypatch.setenv("TBB_ENABLE_SANITIZERS", "1")  # else it opens a library in a way that sanitizers refuse
    library = checks / "libmindvox.so"
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-Wl,-rpath,{checks}", "-L", checks]
    flags += ["-I", ROOT / "ascend310_infer" / "include", "-lmindvox"]
    must("clang++-16", "-x", "c", EXAMPLES / "compare.c", "-x", "none", *flags, "-o", tmp_path / "compare")
    must("clang++-16", "-std=c++17", EXAMPLES / "identify.cc", *flags, "-o", tmp_path / "identify")
    check_examples(tmp_path / "compare", tmp_path / "identify", worked, tmp_path / "embeddings")

    runtime = must("clang-16", "-print-file-name=libclang_rt.asan-x86_64.so").strip()
    environment = {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0", LIBRARY: str(library)}
    said = must(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", IN_ASAN, __file__, **environment)
    assert re.search(r"\d{2} passed", said) and "failed" not in said


# What neither builds nor measures: the sanitizer keeps freed memory for a while.
IN_ASAN = "not examples and not memory and not versions and not shows and not sanitizer and not outlive"
