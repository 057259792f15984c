"""Choose the device on which MindSpore runs."""

import ctypes
import gc
import sys
from pathlib import Path

import mindspore as ms

from mindvox.errors import InputError


def find_target(target: str) -> str:
    """Return the device target that a configuration selects, without initialising the device.

    Args:
        target: "CPU", "GPU", "Ascend", or "auto" for the target of the installed MindSpore.

    Raises:
        InputError: the installed MindSpore does not support this target here.
    """
    found = ms.get_context("device_target")  # default of the wheel: Ascend if its driver and CANN are installed
    if target == "auto":
        return found
    if target not in ("CPU", found):
        raise InputError(
            f"device_target {target}: the installed MindSpore {ms.__version__} supports only {found} here. "
            f"{_advice(target)} Or set device_target: {found}."
        )
    return target


def _advice(target: str) -> str:
    """Return what is missing for a device that cannot be used."""
    if target != "GPU":
        return f"Install its {target} build and driver (mindspore.cn/install)."
    plugins = sorted(Path(ms.__file__).parent.glob("lib/plugin/libmindspore_gpu.so.*"))
    if not plugins:
        return "This build of it has no GPU plugin."
    versions = " or ".join(plugin.name.removeprefix("libmindspore_gpu.so.") for plugin in plugins)
    return (
        f"Its GPU plugin needs CUDA {versions} with nvcc in CUDA_HOME, and the libraries of CUDA and cuDNN 8 in "
        "LD_LIBRARY_PATH (README, Environment Requirements)."
    )


def set_device(target: str, device_id: int = 0) -> str:
    """Select the device and graph mode, and return the name of the device target.

    Args:
        target: see `find_target`.
        device_id: index of the device; a CPU has only device 0.

    Raises:
        InputError: the installed MindSpore does not support this target here.
    """
    target = find_target(target)
    ms.set_device(target, 0 if target == "CPU" else device_id)
    ms.set_context(mode=ms.GRAPH_MODE)
    return target


def release_memory() -> None:
    """Return free heap memory to the operating system, where the C library supports it (glibc).

    Loading and compiling a model leaves about 100 MB of free heap, which a long recording can use.
    """
    gc.collect()
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):  # musl has none
        library.malloc_trim(0)
