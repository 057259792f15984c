"""Run ONNX files and OpenVINO's IR in OpenVINO, on the CPU."""

import functools
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import openvino

from mindvox.engines.engine import Engine, check_values, first_line, library_name
from mindvox.engines.exported import ExportedModel
from mindvox.errors import InputError

RT_INFO = "mindvox"  # name under which an IR holds its metadata
OLD_RT_INFO = "ecapa_tdnn"  # the name in version 2
UNWRITTEN = np.finfo(np.float32).max  # placeholder that shows results that the library has not written


@functools.cache
def openvino_core() -> openvino.Core:
    """Return the one `openvino.Core` of this process.

    Each Core that compiles a model gives the thread an alternate signal stack until the Core is destroyed. If two are
    destroyed in the order of their creation, the first one's stack stays in use after it was freed (OpenVINO 2026.4),
    and the next signal, Ctrl-C included, is a segmentation fault.
    """
    return openvino.Core()


def load(path: Path, exported: ExportedModel, num_threads: int = 0) -> Engine:
    """Load a model with `num_threads` threads; 0: one per core.

    Raises:
        InputError: the file is damaged, or is not the model that `exported` describes.
    """
    core = openvino_core()
    try:
        model = core.read_model(path)
        # The default on processors that support it is bfloat16.
        settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        threads = {"INFERENCE_NUM_THREADS": num_threads} if num_threads else {}
        compiled = core.compile_model(model, "CPU", {**settings, **threads})
    except Exception as error:  # OpenVINO's exceptions have no other common base
        raise InputError(f"{path}: OpenVINO cannot load it ({first_line(error)}).") from None
    check_values(path, exported.inputs, {value.any_name: _shape(value) for value in model.inputs})
    check_values(path, exported.outputs, {value.any_name: _shape(value) for value in model.outputs})
    if exported.file_format == "IR":
        exported.check_metadata(_metadata(model), path)
    names = [output["name"] for output in exported.outputs]
    request, turn = compiled.create_infer_request(), Lock()

    def run(batch: np.ndarray) -> list[np.ndarray]:
        with turn:  # a request refuses a batch while it computes another one
            # If memory runs out, OpenVINO 2026.4 may report nothing and leave the results of the previous run.
            for tensor in request.output_tensors:
                tensor.data[...] = UNWRITTEN
            results = request.infer([batch])
        if any((results[name] == UNWRITTEN).any() for name in names):
            raise MemoryError(f"OpenVINO: too little memory for an input of shape {batch.shape}")
        return [results[name] for name in names]

    return Engine(library_name("openvino"), exported, run)


def _metadata(model: Any) -> dict[str, str]:
    """Return the metadata of an IR; empty if it is not of this project."""
    for name in (RT_INFO, OLD_RT_INFO):
        if model.has_rt_info([name]):
            return {key: model.get_rt_info([name, key]).astype(str) for key in model.get_rt_info([name]).astype(dict)}
    return {}


def _shape(value: Any) -> list[Any]:
    return [size.get_length() if size.is_static else None for size in value.partial_shape]
