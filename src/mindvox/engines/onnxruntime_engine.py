"""Run ONNX files in ONNX Runtime, on the CPU."""

from pathlib import Path

import numpy as np
import onnxruntime

from mindvox.engines.engine import Engine, check_values, first_line, library_name
from mindvox.engines.exported import ExportedModel
from mindvox.errors import InputError


def open_session(path: Path, num_threads: int = 0, keeps_memory: bool = True) -> onnxruntime.InferenceSession:
    """Open an ONNX file on the CPU.

    Args:
        path: the file.
        num_threads: number of threads of the session; 0: one per core.
        keeps_memory: keep memory of one input for the next, which suits inputs of few sizes.

    Raises:
        InputError: the file is damaged, or ONNX Runtime does not support one of its operators.
    """
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = num_threads
    options.enable_cpu_mem_arena = keeps_memory
    # Otherwise a plan which buffers share memory compares every output with all freed buffers: up to 0.7 s for CAM++.
    # Buffers are freed after their last use in any case; greatest memory and speed stay the same.
    options.enable_mem_reuse = False
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no other common base
        raise InputError(f"{path}: ONNX Runtime cannot load it ({first_line(error)}).") from None


def load(path: Path, exported: ExportedModel, num_threads: int = 0) -> Engine:
    """Load a model; for `num_threads` see `open_session`.

    Raises:
        InputError: the file is damaged, or is not the model that `exported` describes.
    """
    # With the pool, memory for the longest recording would be kept: 1.2 GiB for 150 s at 1024 channels. Without it,
    # 150 s take a third longer, and 3 s as long.
    session = open_session(path, num_threads, keeps_memory=False)
    exported.check_metadata(session.get_modelmeta().custom_metadata_map, path)
    check_values(path, exported.inputs, {value.name: value.shape for value in session.get_inputs()})
    check_values(path, exported.outputs, {value.name: value.shape for value in session.get_outputs()})
    name, outputs = exported.inputs[0]["name"], [output["name"] for output in exported.outputs]

    def run(batch: np.ndarray) -> list[np.ndarray]:
        try:
            return session.run(outputs, {name: batch})
        except Exception as error:  # ONNX Runtime's exceptions have no other common base
            raise RuntimeError(f"ONNX Runtime: {first_line(error)}") from error

    return Engine(library_name("onnxruntime"), exported, run)
