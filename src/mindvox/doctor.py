"""Check which parts of MindVox work on this machine, and what to install for the rest.

Each library is tried in a separate process, because a broken one may crash the process that loads it.
"""

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mindvox.config import ROOT
from mindvox.deploy.pretrained import is_cached
from mindvox.errors import advice_on_library
from mindvox.home import home
from mindvox.parallel import num_cores
from mindvox.processor import processor_flags
from mindvox.public_models import PUBLIC_MODELS

WORKS, BROKEN, ABSENT = "works", "broken", "absent"
TIMEOUT_S = 120.0
PROGRAM = ROOT / "ascend310_infer" / "build" / "ecapa_infer"
FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "i8mm")
"""CPU features that the engines use, by their names in Linux."""
INT8_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm"}
INPUT = np.array([[1.0, -2.0, 3.0]], np.float32)
WEIGHT = np.array([[0.5, 1.0], [1.5, -1.0], [2.0, 0.25]], np.float32)


class Finding(NamedTuple):
    """The state of one part.

    Attributes:
        part: name of the part.
        state: WORKS, BROKEN or ABSENT.
        detail: version and device, or the error.
        advice: what the user can do; empty: nothing.
        is_needed: whether every command for recordings needs it.
    """

    part: str
    state: str
    detail: str
    advice: str = ""
    is_needed: bool = False


class Extra(NamedTuple):
    """An optional part: the modules that it needs, and its purpose."""

    modules: tuple[str, ...]
    purpose: str


EXTRAS = {
    "client": Extra(("httpx",), "calls of the service from Python"),
    "dask": Extra(("distributed",), "preparation on a Dask cluster"),
    "demo": Extra(("espeakng_loader",), "the synthetic corpus"),
    "diarization": Extra(("pyannote.metrics", "sklearn"), "scoring and spectral clustering in diarization"),
    "docs": Extra(("mkdocs", "mkdocstrings"), "building the documentation site"),
    "faiss": Extra(("faiss",), "search among more than 100,000 speakers"),
    "int8": Extra(("nncf",), "export of 8-bit models"),
    "kaldi": Extra(("kaldiio",), "Kaldi's archives"),
    "media": Extra(("av",), "reading m4a, mp4, aac, wma, amr, webm, ..."),
    "onnx": Extra(("openvino",), "IR models, and ONNX in OpenVINO"),
    "microphone": Extra(("sounddevice",), "recording from a microphone"),
    "plots": Extra(("matplotlib",), "figures of results"),
    "postgres": Extra(("psycopg",), "a store of speakers in PostgreSQL"),
    "rooms": Extra(("pyroomacoustics",), "generated rooms"),
    "serve": Extra(("fastapi", "uvicorn", "python_multipart", "prometheus_client"), "the service over HTTP"),
    "speechbrain": Extra(("speechbrain", "torch", "torchaudio"), "SpeechBrain's own features and distortions"),
    "webrtc": Extra(("webrtcvad",), "removal of non-speech as in Resemblyzer"),
}
"""The extras of pyproject.toml, except those that only combine others."""


def examine() -> list[Finding]:
    """Return the state of the engines, the reader of recordings, the public models and the extras."""
    return [
        *(_probe(name, advice, name == "onnxruntime") for name, advice in ENGINE_ADVICE.items()),
        _program(),
        _probe("soundfile", "pip install -r requirements.txt", True),
        *_models(),
        *(_extra(name, extra) for name, extra in EXTRAS.items()),
    ]


def machine() -> list[str]:
    """Return lines about the machine: versions, processor and memory."""
    version = importlib.metadata.version("mindvox") if _has_distribution("mindvox") else "not installed, run in place"
    flags = processor_flags()
    known = [flag for flag in FLAGS if flag in flags]
    lines = [
        f"mindvox {version}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        f"{num_cores()} cores available to this process{_memory()}",
    ]
    if flags:
        lines.append(f"processor: {', '.join(known) or 'none of the features that the engines use'}")
    if flags and not flags & INT8_FLAGS:
        lines.append("int8 models gain little here: the processor has no 8-bit products")
    return lines


def _memory() -> str:
    if not hasattr(os, "sysconf"):
        return ""
    return f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB of memory"


def _has_distribution(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _probe(name: str, advice: str, is_needed: bool = False) -> Finding:
    """Try a library in a separate process."""
    if not _has_module(name):
        return Finding(name, ABSENT, "not installed", advice, is_needed)
    command = [sys.executable, "-m", "mindvox.doctor", name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "GLOG_v": "3"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return Finding(name, BROKEN, f"no answer within {TIMEOUT_S:g} s", advice, is_needed)
    if done.returncode == 0:
        return Finding(name, WORKS, done.stdout.strip().splitlines()[-1], "", is_needed)
    said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Finding(name, BROKEN, said, advice_on_library(said) or advice, is_needed)


def _has_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the parent package is absent
        return False


def _program() -> Finding:
    name, advice = "C++ program", "bash ascend310_infer/build.sh"
    if not PROGRAM.is_file():
        return Finding(name, ABSENT, "not built", f"{advice} (docs/cpp.md)")
    try:
        done = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name, BROKEN, str(error), advice)
    if done.returncode:
        return Finding(name, BROKEN, (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1], advice)
    return Finding(name, WORKS, str(PROGRAM.relative_to(ROOT)))


def _models() -> list[Finding]:
    """Return the public models in the cache, or advice on which to fetch first."""
    found = [name for name in PUBLIC_MODELS if is_cached(name)]
    if not found:
        return [Finding("public models", ABSENT, f"none in {home()}", "mindvox fetch campplus_zh_en")]
    return [Finding("public models", WORKS, ", ".join(found))]


def _extra(name: str, extra: Extra) -> Finding:
    missing = [module for module in extra.modules if not _has_module(module)]
    state = ABSENT if missing else WORKS
    return Finding(f"extra {name}", state, extra.purpose, f"pip install -e '.[{name}]'" if missing else "")


def _tiny_model() -> bytes:
    """Return an ONNX model that multiplies `x` (1, 3) by WEIGHT."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def _check(name: str, found: np.ndarray) -> None:
    if not np.allclose(found, INPUT @ WEIGHT, rtol=1e-3):
        raise RuntimeError(f"{name} multiplies wrongly: {found.tolist()}, expected {(INPUT @ WEIGHT).tolist()}")


def _try_onnxruntime() -> str:
    import onnxruntime

    session = onnxruntime.InferenceSession(_tiny_model(), providers=["CPUExecutionProvider"])
    _check("ONNX Runtime", session.run(None, {"x": INPUT})[0])
    return f"{onnxruntime.__version__}, on {', '.join(session.get_providers())}"


def _try_openvino() -> str:
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(_tiny_model()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    _check("OpenVINO", compiled(INPUT)[0])
    precisions = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return f"{importlib.metadata.version('openvino')}, fast in {', '.join(sorted(map(str, precisions)))}"


def _try_mindspore() -> str:
    import mindspore as ms

    from mindvox.device import set_device

    target = set_device("auto")
    _check("MindSpore", ms.ops.matmul(ms.Tensor(INPUT), ms.Tensor(WEIGHT)).asnumpy())
    return f"{ms.__version__}, on {target}"


def _try_soundfile() -> str:
    import soundfile

    formats = soundfile.available_formats()
    missing = {"FLAC", "MP3", "OGG", "WAV"} - formats.keys()
    if missing:
        raise RuntimeError(f"libsndfile {soundfile.__libsndfile_version__} does not read {', '.join(sorted(missing))}")
    return f"{soundfile.__version__}, reads {len(formats)} formats, flac, mp3, ogg and wav among them"


PROBES: dict[str, Callable[[], str]] = {
    "onnxruntime": _try_onnxruntime,
    "openvino": _try_openvino,
    "mindspore": _try_mindspore,
    "soundfile": _try_soundfile,
}
ENGINE_ADVICE = {
    "onnxruntime": "pip install -r requirements.txt",
    "openvino": "pip install -e '.[onnx]'",
    "mindspore": "pip install -r requirements.txt; on Ascend its own build, see README",
}

if __name__ == "__main__":
    print(PROBES[sys.argv[1]]())
