"""Run an exported model in any of the supported libraries."""

import importlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from mindvox.engines.exported import BINS_FIRST, FILE_FORMATS, ExportedModel, find_exported
from mindvox.errors import InputError, UsageError
from mindvox.files import PathLike
from mindvox.frontend.frames import repeat_to

Encode = Callable[[np.ndarray], np.ndarray]
"""Turns finished feats (B, T, F), float32, or waveforms (B, N) into embeddings (B, D)."""
Run = Callable[[np.ndarray], list[np.ndarray]]
"""Turns an input of the model's shape into all outputs."""
OUT_OF_MEMORY = re.compile(r"memory|alloc", re.IGNORECASE)  # matches the engines' out-of-memory errors
AUTO = "auto"


class Library(NamedTuple):
    """A library that runs exported models.

    Attributes:
        formats: formats that it reads, keys of FILE_FORMATS.
        loader: our module with the function `load`.
        install: command that installs it.
    """

    formats: tuple[str, ...]
    loader: str
    install: str


LIBRARIES = {  # in order of preference for each format
    "mindspore": Library(("MINDIR",), "mindvox.engines.mindspore_engine", "pip install -r requirements.txt"),
    "onnxruntime": Library(("ONNX",), "mindvox.engines.onnxruntime_engine", "pip install -r requirements.txt"),
    "openvino": Library(("ONNX", "IR"), "mindvox.engines.openvino_engine", "pip install -e '.[onnx]'"),
}
ENGINES = (AUTO, *LIBRARIES)


@dataclass(frozen=True)
class Engine:
    """A loaded model. Threads may share it.

    Attributes:
        name: library, version and device, such as "openvino 2026.4.1 CPU".
        exported: the model's description.
        run: turns an input of exactly the model's shape (see `arranged`) into all outputs, in the order of
            `exported.outputs`.
    """

    name: str
    exported: ExportedModel
    run: Run

    def encode(self, batch: np.ndarray) -> np.ndarray:
        """Return embeddings (B, D) of any number of utterances of equal length.

        Args:
            batch: finished features (B, T, F), or waveforms (B, N) if the model takes them.

        Raises:
            InputError: the batch does not fit the model, or has NaN or infinite values, which some libraries do not
                pass on to the output.
        """
        self._check(batch)
        batch = self.arranged(batch)
        size = self.exported.batch_size
        if not size:
            return self.run(batch)[0]
        embed = fill_batches(lambda part: self.run(part)[0], size)
        return np.concatenate([embed(batch[first : first + size]) for first in range(0, len(batch), size)])

    def arranged(self, batch: np.ndarray) -> np.ndarray:
        """Return features (B, T, F) in the model's layout; waveforms are returned unchanged."""
        return np.ascontiguousarray(batch.swapaxes(1, 2)) if self.exported.input_layout == BINS_FIRST else batch

    def _check(self, batch: np.ndarray) -> None:
        (expected,) = self.exported.inputs
        shape = [None, *expected["shape"][1:]]
        if self.exported.input_layout == BINS_FIRST:
            shape = [None, *shape[:0:-1]]
        fits = batch.ndim == len(shape) and len(batch) and batch.dtype == np.float32
        if not fits or any(size not in (None, got) for size, got in zip(shape, batch.shape, strict=True)):
            raise InputError(
                f"the model takes {expected['name']} float32 {shape_text(shape)}, got {batch.dtype} "
                f"{shape_text(batch.shape)}."
            )
        if batch.shape[1] < self.exported.min_length:
            raise InputError(
                f"{expected['name']}: expected at least {self.exported.min_length} "
                f"{'samples' if batch.ndim == 2 else 'frames'}, got {batch.shape[1]}."
            )
        if not np.isfinite(batch).all():
            raise InputError(f"{expected['name']}: NaN or infinite values.")


def fill_batches(encode: Encode, batch_size: int) -> Encode:
    """Let an engine with a fixed `batch_size` take fewer utterances: repeat rows, and drop the surplus."""
    return lambda batch: encode(repeat_to(batch, batch_size))[: len(batch)]


def encode_named(encode: Encode, feats: np.ndarray, names: list[str]) -> np.ndarray:
    """Return the model's output; an exception names the utterances, and says what to do if memory runs out."""
    try:
        return np.asarray(encode(feats))
    except (MemoryError, RuntimeError) as error:
        unit = "frames" if feats.ndim == 3 else "samples"
        what = f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}: {feats.shape[1]} {unit} at once"
        if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)):
            raise InputError(
                f"{what} need more memory than there is, {len(names)} in a batch. Set a smaller max_frames or "
                "eval_batch_size."
            ) from None
        error.add_note(f"while the model took {what}")
        raise


def load_engine(
    model: PathLike, engine: str = AUTO, device_target: str = "auto", device_id: int = 0, num_threads: int = 0
) -> Engine:
    """Load an exported model into a library.

    Args:
        model: the exported model, a folder with one, or the name of a public model; see `find_exported`.
        engine: one of ENGINES. "auto": the first installed library that reads the model's format.
        device_target: the device for MindSpore, see `mindvox.device`. Other libraries run on the CPU.
        device_id: index of that device.
        num_threads: number of CPU threads; 0: the library's default, about one per core. MindSpore keeps the first
            number that a process sets.

    Raises:
        UsageError: the engine does not exist.
        InputError: the model or its description is missing or damaged, or the engine cannot read its format or is not
            installed.
    """
    model_file = find_exported(model)
    exported = ExportedModel.read(model_file)
    name = _library_for(model_file, exported, engine)
    load = importlib.import_module(LIBRARIES[name].loader).load
    if name == "mindspore":
        return load(model_file, exported, device_target, device_id, num_threads)
    return load(model_file, exported, num_threads)


def _library_for(model_file: Path, exported: ExportedModel, engine: str) -> str:
    """Return the name of the library that runs a model; see `load_engine`."""
    if engine not in ENGINES:
        raise UsageError(f"engine: expected one of {', '.join(ENGINES)}, got {engine!r}.")
    suffix = FILE_FORMATS[exported.file_format]
    if exported.conversion is not None:
        raise InputError(
            f"{model_file}: was converted for Ascend, where the C++ program runs it. In Python, run the file from "
            "which it was made."
        )
    libraries = libraries_of(exported)
    if not libraries:
        raise InputError(f"{model_file}: no library reads an {exported.file_format}; CANN's ATC converts it.")
    if model_file.suffix != suffix:
        raise InputError(f"{model_file}: described as {exported.file_format}: expected the suffix {suffix}.")
    if engine not in (AUTO, *libraries):
        raise InputError(
            f"{model_file}: {engine} does not read {exported.file_format}: choose {' or '.join(libraries)}."
        )
    wanted = libraries if engine == AUTO else (engine,)
    for library in wanted:
        if library == "mindspore" or is_installed(library):
            return library
    raise InputError(f"{model_file}: needs {' or '.join(wanted)}: {LIBRARIES[wanted[0]].install}")


def library_name(library: str, device_target: str = "CPU") -> str:
    """Return the name of an engine: library, version and device, such as "openvino 2026.4.1 CPU"."""
    return f"{library} {importlib.metadata.version(library)} {device_target}"


def libraries_of(exported: ExportedModel) -> tuple[str, ...]:
    """Return the libraries that read a model's format, in order of preference; none reads an AIR."""
    return tuple(name for name, library in LIBRARIES.items() if exported.file_format in library.formats)


def is_installed(library: str) -> bool:
    """Return whether a library is installed."""
    return importlib.util.find_spec(library) is not None


def require_library(library: str, purpose: str) -> ModuleType:
    """Import one of LIBRARIES.

    Raises:
        InputError: it is not installed.
    """
    if not is_installed(library):
        raise InputError(f"{purpose} needs {library}: {LIBRARIES[library].install}")
    return importlib.import_module(library)


def check_values(path: Path, expected: list[dict[str, Any]], found: dict[str, list[Any]]) -> None:
    """Raise InputError if a file's inputs or outputs differ from FILE.json; names of free sizes are accepted."""
    for tensor in expected:
        shape = [size if isinstance(size, int) else None for size in found.get(tensor["name"], [])]
        if shape != tensor["shape"]:
            raise InputError(
                f"{path}: {path}.json describes {tensor['name']} {shape_text(tensor['shape'])}, the file has "
                f"{', '.join(f'{name} {shape_text(sizes)}' for name, sizes in found.items())}. Export it again."
            )


def first_line(error: Exception) -> str:
    """Return the first non-blank line of a library's message."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def shape_text(shape: Any) -> str:
    """Return a shape as text, such as `any x 301 x 80`."""
    return " x ".join("any" if size is None else str(size) for size in shape)
