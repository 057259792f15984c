"""Run a checkpoint's model as temporary ONNX in ONNX Runtime or OpenVINO: the fast way to embed on a CPU.

MindSpore's CPU kernels take several times as long for most networks; see docs/speed.md.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindvox.deploy.export import plain_description, write_model
from mindvox.device import release_memory
from mindvox.engines.engine import Engine, load_engine
from mindvox.files import sha256_file


def onnx_engine(
    settings: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    front_end: Optional[Mapping[str, Any]] = None,
    engine: str = "onnxruntime",
) -> Engine:
    """Return an engine that embeds finished features (B, T, F) with any batch size and, if the model allows, any
    length.

    Args:
        settings: the section `model` of a checkpoint.
        arrays: its weights for evaluation, "model.*".
        front_end: how its features are computed; None: unknown.
        engine: "onnxruntime" or "openvino".

    Raises:
        InputError: the conversion to ONNX does not support an operator of the model, or the engine is not installed.
    """
    exported = plain_description(settings, front_end or {})
    with tempfile.TemporaryDirectory(prefix="mindvox-") as folder:
        path = Path(folder, "model.onnx")
        write_model(path, exported, arrays)
        release_memory()  # used by the conversion
        replace(exported, file_sha256=sha256_file(path)).save(path)
        return load_engine(path, engine)
