"""ONNX in ONNX Runtime, on the CPU."""

from pathlib import Path

import numpy as np
import onnxruntime

from mindvox.engines.engine import Engine, check_values, first_line, library_name
from mindvox.engines.exported import ExportedModel
from mindvox.errors import InputError


def load(path: Path, exported: ExportedModel) -> Engine:
    """Load a model.

    Raises:
        InputError: the file is damaged, or is not the model that `exported` describes.
    """
    options = onnxruntime.SessionOptions()
    # Its pool keeps the memory of the longest recording, and a fifth more: 1.2 GiB for 150 s at 1024 channels. Without
    # it those take a third longer; 3 s take as long.
    options.enable_cpu_mem_arena = False
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base but Exception
        raise InputError(f"{path}: ONNX Runtime cannot load it ({first_line(error)}).") from None
    exported.check_metadata(session.get_modelmeta().custom_metadata_map, path)
    check_values(path, exported.inputs, {value.name: value.shape for value in session.get_inputs()})
    check_values(path, exported.outputs, {value.name: value.shape for value in session.get_outputs()})
    name, outputs = exported.inputs[0]["name"], [output["name"] for output in exported.outputs]

    def run(batch: np.ndarray) -> list[np.ndarray]:
        try:
            return session.run(outputs, {name: batch})
        except Exception as error:  # as above
            raise RuntimeError(f"ONNX Runtime: {first_line(error)}") from error

    return Engine(library_name("onnxruntime"), exported, run)
