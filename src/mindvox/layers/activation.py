"""Activations whose framework form is wrong on a device, or unsupported by the runtimes of exports."""

import math

import mindspore as ms
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


class Gelu(nn.Cell):
    """x times the probability that a standard normal number is below x (Hendrycks and Gimpel 2016, arXiv:1606.08415).

    Args:
        approximate: replace the probability by sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)), the paper's form with tanh.

    Inputs:
        - **x** - of any shape.

    Outputs:
        The same shape.
    """

    def __init__(self, approximate: bool = False) -> None:
        super().__init__()
        self.approximate = approximate
        # Tensors: a product with a Python number is Muls, which old MindSpore Lite lacks.
        self.half = Tensor(0.5, ms.float32)
        self.slope = Tensor(math.sqrt(8 / math.pi) if approximate else math.sqrt(0.5), ms.float32)
        self.cubic = Tensor(0.044715, ms.float32)

    def construct(self, x: Tensor) -> Tensor:
        scaled = x * self.slope.astype(x.dtype)
        if self.approximate:
            return x * ops.sigmoid(scaled + scaled * x * x * self.cubic.astype(x.dtype))
        return (x + x * ops.erf(scaled)) * self.half.astype(x.dtype)


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
