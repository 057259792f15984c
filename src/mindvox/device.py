"""Choosing the device that MindSpore computes on."""

import ctypes
import gc
import sys
from pathlib import Path

import mindspore as ms

from mindvox.errors import InputError


def find_target(target: str) -> str:
    """Return the device target that a configuration means, without touching the device.

    Args:
        target: "CPU", "GPU", "Ascend", or "auto" for what the installed MindSpore was built for.

    Raises:
        InputError: the installed MindSpore cannot use this target here.
    """
    found = ms.get_context("device_target")  # the wheel's own choice: Ascend where its driver and CANN are installed
    if target == "auto":
        return found
    if target not in ("CPU", found):
        raise InputError(
            f"device_target {target}: the installed MindSpore {ms.__version__} can use {found} only here. "
            f"{_advice(target)} Or set device_target: {found}."
        )
    return target


def _advice(target: str) -> str:
    """Say what is missing for a device that cannot be used."""
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
    """Select the device and graph mode, and return the target's name.

    Args:
        target: see `find_target`.
        device_id: number of the device; a CPU has only one.

    Raises:
        InputError: the installed MindSpore cannot use this target here.
    """
    target = find_target(target)
    ms.set_device(target, 0 if target == "CPU" else device_id)
    ms.set_context(mode=ms.GRAPH_MODE)
    return target


def release_memory() -> None:
    """Give memory that is free back to the system, where the C library can (glibc).

    Loading a model and compiling it leave 100 MB to the process that nothing holds, which a long recording needs.
    """
    gc.collect()
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):  # musl has none
        library.malloc_trim(0)
