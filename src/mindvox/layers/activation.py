"""Activations that MindSpore computes wrongly on some device, or that runtimes of exported models do not support."""

import math

import mindspore as ms
from mindspore import Tensor, nn, ops
from mindspore.ops.auto_generate import ReluGrad

CEILING = 20.0


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent computed from sigmoid: MindSpore's CPU kernel of tanh is wrong by up to 1e-4 (2.10).

    Values are doubled by addition, which gives the same bits as a product. A product with a Python number would be
    Muls, which old MindSpore Lite lacks.
    """
    y = ops.sigmoid(x + x)
    return y + y - 1


def silu(x: Tensor) -> Tensor:
    """Return x times its sigmoid; old MindSpore Lite does not support the framework's own SiLU."""
    return x * ops.sigmoid(x)


class Gelu(nn.Cell):
    """x times the probability that a standard normal number is below x (Hendrycks and Gimpel 2016, arXiv:1606.08415).

    Args:
        approximate: replace the probability by sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)), which equals the paper's
            approximation with tanh.

    Inputs:
        - **x** - any shape.

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
    """ReLU with a ceiling: min(max(x, 0), 20), with the gradient of torch's Hardtanh, which is 0 at both bounds.

    NaN passes, so that a failed training is noticed. On a CPU (2.10) `maximum` and `minimum` pass NaN only as their
    second argument; ReLU, clamp and hardtanh turn it into a bound.

    Inputs:
        - **x** - any shape.

    Outputs:
        The same shape.
    """

    def __init__(self) -> None:
        super().__init__()
        self.relu_gradient = ReluGrad()

    def construct(self, x: Tensor) -> Tensor:
        return ops.minimum(CEILING, ops.maximum(0.0, x))

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        # Pass dout where 0 < out < 20. Comparisons and a selection take two to four times as long on a CPU.
        return (self.relu_gradient(self.relu_gradient(dout, out), CEILING - out),)
