"""The device for which a network is built, which decides the form of operations that layers use."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mindvox.processor import is_limited_to_avx2

ONNX = "ONNX"
ANY_CPU = "any CPU"
CPUS = ("CPU", ANY_CPU)
_target: ContextVar[str] = ContextVar("target", default="CPU")


@contextmanager
def building_for(device_target: str) -> Iterator[None]:
    """Within this context, build layers in the form that is fast on a device.

    MindSpore's CPU kernels (2.10) for convolutions, and in dynamic graphs for sums and broadcasts, are 10 to 100 times
    slower than its matrix product. A layer that is built for a CPU therefore multiplies ("product"); for any other
    device it uses the framework's own operation ("native"), because products on Ascend may round to half precision.
    Both forms have the same parameters and give the same numbers on a CPU. For convolutions on a CPU see
    `has_fast_cpu_convolution`.

    Args:
        device_target: "CPU" for this machine's, ANY_CPU for a file that other machines load, "GPU" or "Ascend"; or
            ONNX, the form that is converted to ONNX and that a CPU can compute too. Without this context, layers are
            built for this machine's CPU.
    """
    token = _target.set(device_target)
    try:
        yield
    finally:
        _target.reset(token)


def building_form() -> str:
    """Return the form in which layers are built at present: "product" or "native"."""
    return "product" if _target.get() in CPUS else "native"


def has_fast_cpu_convolution() -> bool:
    """Return whether layers are built for this machine's CPU, and the framework's own convolution is fast there.

    Without AVX-512, oneDNN computes the convolution as a product (`gemm:jit`). With AVX-512, oneDNN in MindSpore's
    wheel (2.10) takes a reference kernel, which is 100 times slower (benchmarks/README.md).
    """
    return _target.get() == "CPU" and is_limited_to_avx2()


def has_lstm() -> bool:
    """Return whether the target supports LSTM as one operation, with the weight layout of MindSpore's CPU kernel."""
    return _target.get() in (*CPUS, ONNX)
