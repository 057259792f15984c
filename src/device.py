"""Choosing the device that MindSpore computes on."""

import mindspore as ms

from src.errors import InputError


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
            f"device_target {target}: the installed MindSpore {ms.__version__} can use {found} only here. Install its "
            f"{target} build and driver (mindspore.cn/install), or set device_target: {found}."
        )
    return target


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
