"""Which device a network is built for: layers choose the form of their operations by it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_form: ContextVar[str] = ContextVar("form", default="product")


@contextmanager
def building_for(device_target: str) -> Iterator[None]:
    """Inside this context, layers are built in the form that a device computes fast.

    MindSpore's CPU kernels (2.10) for convolutions, and in dynamic graphs for sums and broadcasts, are 10 to 100 times
    slower than its matrix product. A layer that is built for a CPU therefore multiplies ("product"); for any other
    device it uses the framework's own operation ("native"), because products on Ascend may round to half precision.
    Both forms have the same parameters and give the same numbers on a CPU.

    Args:
        device_target: "CPU", "GPU" or "Ascend". Without this context, layers are built for a CPU.
    """
    token = _form.set("product" if device_target == "CPU" else "native")
    try:
        yield
    finally:
        _form.reset(token)


def building_form() -> str:
    """Return the form in which a layer that is built now has to be: "product" or "native"."""
    return _form.get()
