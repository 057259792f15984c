"""ONNX in ONNX Runtime, on the CPU."""

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
        num_threads: of the session; 0: as many as this process has cores.
        keeps_memory: memory of one input is kept for the next: right where inputs have few sizes.

    Raises:
        InputError: the file is damaged, or ONNX Runtime does not know an operator of it.
    """
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = num_threads
    options.enable_cpu_mem_arena = keeps_memory
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the exceptions of ONNX Runtime share no base but Exception
        raise InputError(f"{path}: ONNX Runtime cannot load it ({first_line(error)}).") from None


def load(path: Path, exported: ExportedModel, num_threads: int = 0) -> Engine:
    """Load a model; for `num_threads` see `open_session`.

    Raises:
        InputError: the file is damaged, or is not the model that `exported` describes.
    """
    # It would keep what the longest recording takes: 1.2 GiB for 150 s at 1024 channels. Without the pool, 150 s take
    # a third longer, 3 s as long.
    session = open_session(path, num_threads, keeps_memory=False)
    exported.check_metadata(session.get_modelmeta().custom_metadata_map, path)
    check_values(path, exported.inputs, {value.name: value.shape for value in session.get_inputs()})
    check_values(path, exported.outputs, {value.name: value.shape for value in session.get_outputs()})
    name, outputs = exported.inputs[0]["name"], [output["name"] for output in exported.outputs]

    def run(batch: np.ndarray) -> list[np.ndarray]:
        try:
            return session.run(outputs, {name: batch})
        except Exception as error:  # the exceptions of ONNX Runtime share no base but Exception
            raise RuntimeError(f"ONNX Runtime: {first_line(error)}") from error

    return Engine(library_name("onnxruntime"), exported, run)
