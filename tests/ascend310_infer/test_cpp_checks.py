"""The C++ unit tests and fuzz targets under sanitizers, and the engine for MindSpore Lite with the real headers."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.data.eval_store import EvalStoreWriter
from mindvox.files import sha256_file
from mindvox.frontend.fbank import Fbank
from mindvox.scoring.embeddings import EmbeddingStore

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "ascend310_infer" / "fuzz" / "corpus"
STYLED = {".h", ".hpp", ".c", ".cc"}
MEMORY = ("-rss_limit_mb=0", "-malloc_limit_mb=1024")
TARGETS = (
    *("csv", "header", "index", "list", "lite_config", "lite_log", "model", "names", "npy", "part", "raw", "wav"),
)


def must(command: list) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-4000:]
    return done.stdout


def test_unit_tests_pass_under_sanitizers(checks):
    said = must(["ctest", "--test-dir", checks, "--output-on-failure", "--parallel", "2"])
    assert re.search(r"100% tests passed, 0 tests failed out of \d{2,}", said)


def test_sources_have_the_style_of_clang_format(checks):
    folder = ROOT / "ascend310_infer"
    rooms = ("src", "include", "examples", "tests", "fuzz")
    sources = [path for room in rooms for path in folder.glob(f"{room}/**/*") if path.suffix in STYLED]
    must(["clang-format-16", "--dry-run", "--Werror", *sources])


def fuzz(checks: Path, target: str, folder: Path, *limits: str) -> str:
    program = checks / "fuzz" / f"fuzz_{target}"
    found = folder / "found"
    found.mkdir()
    done = subprocess.run(
        # Not -rss_limit_mb: libFuzzer reads the peak that Linux hands on from the process that started it.
        [program, found, CORPUS / target, "-max_len=2048", "-timeout=300", "-print_final_stats=1", *MEMORY, *limits],
        cwd=folder, env={**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"},
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert not list(folder.glob("crash-*"))
    return done.stderr


@pytest.mark.parametrize("target", TARGETS)
def test_fuzzing_a_parser_for_a_second_finds_nothing(checks, tmp_path, target):
    fuzz(checks, target, tmp_path, "-max_total_time=1")


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_million_runs_of_a_parser_find_nothing(checks, tmp_path, target):
    said = fuzz(checks, target, tmp_path, "-runs=1000000")
    assert int(re.search(r"stat::number_of_executed_units: (\d+)", said)[1]) >= 1_000_000


@pytest.mark.slow
def test_races_are_not_found_by_the_thread_sanitizer(checks, tmp_path):
    """Without engines: their libraries are not instrumented."""
    options = ["-DECAPA_BUILD_TESTS=ON", "-DECAPA_SANITIZE=thread", "-DECAPA_OPENVINO=OFF", "-DECAPA_MSLITE=OFF"]
    must(["cmake", "-S", ROOT / "ascend310_infer", "-B", tmp_path, *options])
    must(["cmake", "--build", tmp_path, "--parallel", "2", "--target", "core_test"])
    must([tmp_path / "tests" / "core_test"])


@pytest.mark.slow
def test_program_with_mindspore_lite_runs_a_mindir(program, tmp_path):
    """Found at its root as it is unpacked, linked across the two ABIs: the library is the tests' own."""
    fake = ROOT / "ascend310_infer" / "tests" / "fake_mslite"
    library = tmp_path / "lite" / "runtime" / "lib" / "libmindspore-lite.so"
    library.parent.mkdir(parents=True)
    shutil.copytree(fake / "headers" / "include", tmp_path / "lite" / "runtime" / "include")
    flags = ["-std=c++17", "-shared", "-fPIC", "-D_GLIBCXX_USE_CXX11_ABI=0", "-I", fake / "headers"]
    must(["c++", *flags, fake / "fake_mslite.cc", "-o", library])
    options = [f"-DMSLITE_ROOT={tmp_path / 'lite'}", "-DECAPA_MSLITE=ON", "-DECAPA_OPENVINO=OFF"]
    must(["cmake", "-S", ROOT / "ascend310_infer", "-B", tmp_path / "build", *options])
    must(["cmake", "--build", tmp_path / "build", "--parallel", "2"])

    front_end = Fbank(n_mels=16)
    with EvalStoreWriter(tmp_path / "eval", front_end.to_dict()) as writer:
        for row, num_frames in enumerate((20, 30, 20)):
            writer.add(f"s/{row}", "s", np.random.default_rng(row).standard_normal((num_frames, 16), np.float32))
    model = tmp_path / "model.mindir"
    model.write_bytes(b"the fake library reads nothing")
    sizes = {"batch_size": None, "num_frames": None, "min_frames": 9, "num_mels": 16, "emb_size": 3}
    description = {
        "format_version": 2, "file_format": "MINDIR", "input_kind": "fbank", **sizes,
        "front_end": front_end.to_dict(), "file_sha256": sha256_file(model),
    }  # fmt: skip
    Path(f"{model}.json").write_text(json.dumps(description))
    infer = [tmp_path / "build" / "ecapa_infer", "--model", model, "--data", tmp_path / "eval"]
    must([*infer, "--output", tmp_path / "out", "--workers=2"])
    made = EmbeddingStore.open(tmp_path / "out")
    assert made.utt_ids == ["s/0", "s/1", "s/2"] and made.embeddings.shape == (3, 3)
    assert made.identity.engine == "mindspore lite 2.7.0 CPU f32"

    (tmp_path / "wav").mkdir()
    for row in range(2):
        soundfile.write(tmp_path / "wav" / f"{row}.wav", np.random.default_rng(row).uniform(-0.5, 0.5, 8000), 16000)
    must([*infer[:3], "--wav_list", tmp_path / "wav", "--output", tmp_path / "of_wav"])
    folder = ROOT / "ascend310_infer"
    flags = ["-I", folder / "include", "-L", tmp_path / "build", f"-Wl,-rpath,{tmp_path / 'build'}", "-lmindvox"]
    must(["cc", folder / "examples" / "compare.c", *flags, "-o", tmp_path / "compare"])
    wavs = [tmp_path / "wav" / f"{row}.wav" for row in range(2)]
    must([tmp_path / "compare", model, *wavs, tmp_path / "by_library"])
    of_program = EmbeddingStore.open(tmp_path / "of_wav").embeddings
    np.testing.assert_array_equal(np.fromfile(tmp_path / "by_library", np.float32).reshape(2, 3), of_program)

    refused = subprocess.run(
        [program, *infer[1:], "--output", tmp_path / "o"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2 and "built without MindSpore Lite. Set LITE_HOME" in refused.stderr


@pytest.mark.slow
def test_engine_for_mindspore_lite_builds_and_runs_with_the_real_headers(checks):
    done = subprocess.run(
        ["bash", ROOT / "ascend310_infer" / "check_mslite_headers.sh"], capture_output=True, text=True, check=False
    )
    if done.returncode == 3:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout
