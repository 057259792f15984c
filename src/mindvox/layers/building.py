"""The device for which a network is built; layers choose the form of their operations accordingly."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

ONNX = "ONNX"
_target: ContextVar[str] = ContextVar("target", default="CPU")


@contextmanager
def building_for(device_target: str) -> Iterator[None]:
    """Inside this context, layers are built in the form that a device computes fast.

    MindSpore's CPU kernels (2.10) for convolutions, and in dynamic graphs for sums and broadcasts, are 10 to 100 times
    slower than its matrix product. A layer that is built for a CPU therefore multiplies ("product"); for any other
    device it uses the framework's own operation ("native"), because products on Ascend may round to half precision.
    Both forms have the same parameters and give the same numbers on a CPU.

    Args:
        device_target: "CPU", "GPU" or "Ascend"; or ONNX, in the form that conversion to ONNX is made from, which a CPU
            computes too. Without this context, layers are built for a CPU.
    """
    token = _target.set(device_target)
    try:
        yield
    finally:
        _target.reset(token)


def building_form() -> str:
    """Return the form for a layer that is built now: "product" or "native"."""
    return "product" if _target.get() == "CPU" else "native"


def has_lstm() -> bool:
    """Return whether the present target supports LSTM as one operation with the weight layout of MindSpore's CPU."""
    return _target.get() in ("CPU", ONNX)
