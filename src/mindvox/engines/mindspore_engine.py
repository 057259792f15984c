"""Run MINDIR files in MindSpore."""

from contextlib import suppress
from pathlib import Path
from threading import Lock

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindvox.device import set_device
from mindvox.engines.engine import Engine, first_line, library_name
from mindvox.engines.exported import ExportedModel
from mindvox.errors import InputError


def load(path: Path, exported: ExportedModel, device_target: str, device_id: int, num_threads: int = 0) -> Engine:
    """Load a model on a device, which becomes the device of this process; see `load_engine` and `set_device`.

    Raises:
        InputError: the file is damaged, or the device is not available.
    """
    target = set_device(device_target, device_id)
    if num_threads:
        with suppress(RuntimeError):  # can be set only once per process (2.10)
            ms.device_context.cpu.op_tuning.threads_num(num_threads)
    try:
        cell = nn.GraphCell(ms.load(str(path)))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path}: not a whole MINDIR ({first_line(error)}).") from None
    (source,) = exported.inputs
    # Without this MindSpore compiles a dynamic graph again for every length, 300 MB each (2.10).
    cell.set_inputs(Tensor(shape=source["shape"], dtype=ms.float32))

    def run(batch: np.ndarray) -> list[np.ndarray]:
        with _turn:
            outputs = cell(Tensor(batch))
            return [output.asnumpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]

    return Engine(library_name("mindspore", target), exported, run)


_turn = Lock()  # two graphs at once are a segmentation fault (2.10)
