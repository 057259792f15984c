"""Builds of the C++ program, shared by the tests of this folder."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.processes import skip_or_fail

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "c++": "g++",
    "cmake": "cmake",
    "make": "make",
    "/usr/include/cxxopts.hpp": "libcxxopts-dev",
    "/usr/include/nlohmann/json.hpp": "nlohmann-json3-dev",
    "/usr/include/sndfile.h": "libsndfile1-dev",
    "/usr/include/kissfft/kissfft.hh": "libkissfft-dev",
    "/usr/include/openssl/evp.h": "libssl-dev",
}
LINK_PACKAGES = {"pkg-config": "pkgconf"}
CHECK_PACKAGES = {
    "/usr/include/doctest/doctest.h": "doctest-dev",
    "clang++-16": "clang-16",
    "clang-format-16": "clang-format-16",
    "/usr/lib/llvm-16/lib/clang/16/lib/linux/libclang_rt.fuzzer-x86_64.a": "libclang-rt-16-dev",
}


def need(packages: dict[str, str]) -> None:
    """Skip what cannot be built here, with the names of what is missing; where CI_REQUIRE_CPP=1 that is a failure."""
    missing = [name for part, name in packages.items() if not (Path(part).exists() or shutil.which(part))]
    if importlib.util.find_spec("openvino") is None:
        missing.append("openvino (extra cpp)")
    if not missing:
        return
    reason = f"missing: {', '.join(missing)}. As root: bash scripts/install_system_packages.sh --tests"
    skip_or_fail(reason)


@pytest.fixture(scope="session")
def program() -> Path:
    """The program as users build it."""
    need(PACKAGES)
    done = subprocess.run(["bash", ROOT / "ascend310_infer" / "build.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "ascend310_infer" / "build" / "ecapa_infer"


@pytest.fixture(scope="session")
def checks() -> Path:
    """A folder with tests and fuzz targets, built by clang with the address and undefined-behaviour sanitizers."""
    need({**PACKAGES, **CHECK_PACKAGES})
    source = ROOT / "ascend310_infer"
    build = source / "build-checks"
    openvino = Path(importlib.util.find_spec("openvino").origin).parent / "cmake"
    options = {
        "OpenVINO_DIR": openvino,
        "CMAKE_CXX_COMPILER": "clang++-16",
        "CMAKE_BUILD_TYPE": "Debug",
        "CMAKE_CXX_FLAGS_DEBUG": "",  # optimising would take longer than it saves
        "ECAPA_BUILD_TESTS": "ON",
        "ECAPA_BUILD_FUZZERS": "ON",
        "ECAPA_SANITIZE": "address,undefined",
    }
    defined = [f"-D{name}={value}" for name, value in options.items()]
    for command in (["cmake", "-S", source, "-B", build, *defined], ["cmake", "--build", build, "--parallel", "2"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return build
