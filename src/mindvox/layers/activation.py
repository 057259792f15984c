"""Activations whose framework form is wrong on a device, or unknown to the runtimes of exports."""

from mindspore import Tensor, nn, ops
from mindspore.ops.auto_generate import ReluGrad

CEILING = 20.0


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, through sigmoid: MindSpore's CPU kernel of tanh is wrong by up to 1e-4 (2.10).

    Doubled by sums, the same to the bit: a product with a Python number is Muls, which old MindSpore Lite lacks.
    """
    y = ops.sigmoid(x + x)
    return y + y - 1


def silu(x: Tensor) -> Tensor:
    """Return x times its sigmoid; the framework's own SiLU is unknown to old MindSpore Lite."""
    return x * ops.sigmoid(x)


class ClippedReLU(nn.Cell):
    """ReLU that ends at 20: min(max(x, 0), 20), with the gradient of torch's Hardtanh, which is 0 at both bounds.

    NaN passes, so that a training that has failed can be seen. On a CPU (2.10) it passes `maximum` and `minimum` only
    as their second argument; ReLU, clamp and hardtanh turn it into a bound.

    Inputs:
        - **x** - of any shape.

    Outputs:
        The same shape.
    """

    def __init__(self) -> None:
        super().__init__()
        self.relu_gradient = ReluGrad()

    def construct(self, x: Tensor) -> Tensor:
        return ops.minimum(CEILING, ops.maximum(0.0, x))

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        # Where out > 0 and out < 20. Comparisons and a selection take two to four times as long on a CPU.
        return (self.relu_gradient(self.relu_gradient(dout, out), CEILING - out),)
