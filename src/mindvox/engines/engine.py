"""Exported models in Python, by whichever library reads them."""

import functools
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mindvox.engines.exported import FILE_FORMATS, ExportedModel
from mindvox.errors import InputError
from mindvox.files import PathLike
from mindvox.scoring.embeddings import fill_batches

RT_INFO = "ecapa_tdnn"  # name under which an IR holds its metadata
UNWRITTEN = np.finfo(np.float32).max  # in place of results that a library has not written

Run = Callable[[np.ndarray], list[np.ndarray]]
"""An input of the model's shape to all outputs."""


@dataclass(frozen=True)
class Engine:
    """A loaded model.

    Attributes:
        name: library, version and device, such as "openvino 2026.4.1 CPU".
        exported: the model's description.
        run: an input of exactly the model's shape to all its outputs, in the order of `exported.outputs`.
    """

    name: str
    exported: ExportedModel
    run: Run

    def encode(self, batch: np.ndarray) -> np.ndarray:
        """Return embeddings (B, D) of any number of utterances of one length.

        Args:
            batch: mean-subtracted features (B, T, F), or waveforms (B, N) when the model takes these.

        Raises:
            InputError: the batch does not fit the model, or has NaN or infinite values, which not every library passes
                on to its output.
        """
        self._check(batch)
        size = self.exported.batch_size
        if not size:
            return self.run(batch)[0]
        embed = fill_batches(lambda part: self.run(part)[0], size)
        return np.concatenate([embed(batch[first : first + size]) for first in range(0, len(batch), size)])

    def _check(self, batch: np.ndarray) -> None:
        (expected,) = self.exported.inputs
        shape = [None, *expected["shape"][1:]]
        fits = batch.ndim == len(shape) and len(batch) and batch.dtype == np.float32
        if not fits or any(size not in (None, got) for size, got in zip(shape, batch.shape, strict=True)):
            raise InputError(
                f"the model takes {expected['name']} float32 {_text(shape)}, got {batch.dtype} {_text(batch.shape)}."
            )
        if batch.shape[1] < self.exported.min_length:
            raise InputError(
                f"{expected['name']}: expected at least {self.exported.min_length} "
                f"{'samples' if batch.ndim == 2 else 'frames'}, got {batch.shape[1]}."
            )
        if not np.isfinite(batch).all():
            raise InputError(f"{expected['name']}: NaN or infinite values.")


def load_engine(model_file: PathLike, device_target: str = "CPU") -> Engine:
    """Load an exported model into the library that its format belongs to; of several, the first that is installed.

    Args:
        device_target: the device that a MINDIR runs on; other formats run on the CPU.

    Raises:
        InputError: the model or its description is missing or damaged, or no library for it is installed.
    """
    exported = ExportedModel.read(model_file)
    libraries = libraries_of(exported)
    if exported.conversion is not None:
        raise InputError(
            f"{model_file}: was converted for Ascend, where the C++ program runs it. In Python, run the file that "
            "it was made from."
        )
    if not libraries:
        raise InputError(f"{model_file}: no library reads an {exported.file_format}; CANN's ATC converts it.")
    for library in libraries:
        if library == "mindspore" or is_installed(library):
            return load_with(library, model_file, exported, device_target)
    raise InputError(f"{model_file}: needs {' or '.join(libraries)}: pip install -e '.[onnx]'")


def libraries_of(exported: ExportedModel) -> tuple[str, ...]:
    """Return the libraries that read a format, the preferred first; none reads an AIR."""
    readers = {"MINDIR": ("mindspore",), "ONNX": ("onnxruntime", "openvino"), "IR": ("openvino",)}
    return readers.get(exported.file_format, ())


def is_installed(library: str) -> bool:
    """Return whether a library can be imported."""
    return importlib.util.find_spec(library) is not None


def load_with(library: str, model_file: PathLike, exported: ExportedModel, device_target: str = "CPU") -> Engine:
    """Load a model into one library, one of `libraries_of`; see `load_engine`."""
    suffix = FILE_FORMATS[exported.file_format]
    if Path(model_file).suffix != suffix:
        raise InputError(f"{model_file}: described as {exported.file_format}: expected the suffix {suffix}.")
    loaders = {"mindspore": _load_mindir, "onnxruntime": _load_onnxruntime, "openvino": _load_openvino}
    return loaders[library](Path(model_file), exported, device_target)


def require_library(library: str, purpose: str) -> ModuleType:
    """Import a library of the extra onnx.

    Raises:
        InputError: it is not installed.
    """
    if not is_installed(library):
        raise InputError(f"{purpose} needs {library}: pip install -e '.[onnx]'")
    return importlib.import_module(library)


@functools.cache
def openvino_core(openvino: ModuleType) -> Any:
    """Return the one `openvino.Core` of this process.

    Each that compiles a model gives the thread an alternate signal stack until it goes. When two go in the order in
    which they came, the stack of the first stays in use after it was freed (OpenVINO 2026.4), and the next signal,
    Ctrl-C included, is a segmentation fault.
    """
    return openvino.Core()


def _load_mindir(path: Path, exported: ExportedModel, device_target: str) -> Engine:
    import mindspore as ms  # here, because other formats run on machines without MindSpore
    from mindspore import Tensor, nn

    try:
        cell = nn.GraphCell(ms.load(str(path)))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path}: not a whole MINDIR ({_first_line(error)}).") from None
    (source,) = exported.inputs
    # Else MindSpore would compile a dynamic graph anew for every length, 300 MB each (2.10).
    cell.set_inputs(Tensor(shape=source["shape"], dtype=ms.float32))

    def run(batch: np.ndarray) -> list[np.ndarray]:
        outputs = cell(Tensor(batch))
        return [output.asnumpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]

    return Engine(f"mindspore {ms.__version__} {device_target}", exported, run)


def _load_onnxruntime(path: Path, exported: ExportedModel, _: str) -> Engine:
    runtime = require_library("onnxruntime", str(path))
    try:
        session = runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base but Exception
        raise InputError(f"{path}: ONNX Runtime cannot load it ({_first_line(error)}).") from None
    exported.check_metadata(session.get_modelmeta().custom_metadata_map, path)
    _check_values(path, exported.inputs, {value.name: value.shape for value in session.get_inputs()})
    _check_values(path, exported.outputs, {value.name: value.shape for value in session.get_outputs()})
    name, outputs = exported.inputs[0]["name"], [output["name"] for output in exported.outputs]
    return Engine(f"onnxruntime {runtime.__version__} CPU", exported, lambda batch: session.run(outputs, {name: batch}))


def _load_openvino(path: Path, exported: ExportedModel, _: str) -> Engine:
    openvino = require_library("openvino", str(path))
    core = openvino_core(openvino)
    try:
        model = core.read_model(path)
        # Its own choice on processors that have it is bfloat16.
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"})
    except Exception as error:  # its exceptions share no base but Exception
        raise InputError(f"{path}: OpenVINO cannot load it ({_first_line(error)}).") from None
    _check_values(path, exported.inputs, {value.any_name: _openvino_shape(value) for value in model.inputs})
    _check_values(path, exported.outputs, {value.any_name: _openvino_shape(value) for value in model.outputs})
    if exported.file_format == "IR":
        found = {key: model.get_rt_info([RT_INFO, key]).astype(str) for key in _rt_info_keys(model)}
        exported.check_metadata(found, path)
    names = [output["name"] for output in exported.outputs]
    request = compiled.create_infer_request()

    def run(batch: np.ndarray) -> list[np.ndarray]:
        # When memory runs out, OpenVINO 2026.4 may say nothing and leave the results of the run before.
        for tensor in request.output_tensors:
            tensor.data[...] = UNWRITTEN
        results = request.infer([batch])
        if any((results[name] == UNWRITTEN).any() for name in names):
            raise MemoryError(f"OpenVINO: too little memory for an input of shape {batch.shape}")
        return [results[name] for name in names]

    return Engine(f"openvino {importlib.metadata.version('openvino')} CPU", exported, run)


def _rt_info_keys(model: Any) -> list[str]:
    return list(model.get_rt_info([RT_INFO]).astype(dict)) if model.has_rt_info([RT_INFO]) else []


def _openvino_shape(value: Any) -> list[Any]:
    return [size.get_length() if size.is_static else None for size in value.partial_shape]


def _check_values(path: Path, expected: list[dict[str, Any]], found: dict[str, list[Any]]) -> None:
    """Raise InputError when a file's inputs or outputs are not what FILE.json says; free sizes may have names."""
    for tensor in expected:
        shape = [size if isinstance(size, int) else None for size in found.get(tensor["name"], [])]
        if shape != tensor["shape"]:
            raise InputError(
                f"{path}: {path}.json describes {tensor['name']} {_text(tensor['shape'])}, the file has "
                f"{', '.join(f'{name} {_text(sizes)}' for name, sizes in found.items())}. Export it anew."
            )


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _text(shape: Any) -> str:
    return " x ".join("any" if size is None else str(size) for size in shape)
