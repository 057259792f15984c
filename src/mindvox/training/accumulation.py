"""Gradient accumulation: gradients of several batches for one update."""

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

_add_to = ops.MultitypeFuncGraph("add_to")
_set_to_zero = ops.MultitypeFuncGraph("set_to_zero")


@_add_to.register("Tensor", "Tensor", "Tensor")
def _add_share(share: Tensor, total: Tensor, gradient: Tensor) -> Tensor:
    return ops.assign_add(total, gradient * share)


@_set_to_zero.register("Tensor")
def _zero(total: Tensor) -> Tensor:
    return ops.assign(total, ops.zeros_like(total))


class GradientMean(nn.Cell):
    """Accumulates the mean gradient of a group of batches.

    The weights are the same for all batches of a group, so the mean equals the gradient of one large batch, except for
    batch norms, which see each batch separately.

    Args:
        parameters: parameters whose gradients are taken.
        num_batches: number of batches in a group.
    """

    def __init__(self, parameters: ms.ParameterTuple, num_batches: int) -> None:
        super().__init__(auto_prefix=False)
        self.num_batches = num_batches
        self.share = Tensor(1 / num_batches, ms.float32)
        self.totals = parameters.clone("sum", "zeros")
        self.count = Parameter(Tensor(0, ms.int32), name="sum.count", requires_grad=False)
        self.map = ops.HyperMap()

    def state(self) -> dict[str, Parameter]:
        """Return the group's state, sum.*, which a checkpoint in the middle of a group needs."""
        return {parameter.name: parameter for parameter in (*self.totals, self.count)}

    def construct(self, gradients: tuple[Tensor, ...]) -> Tensor:
        """Add a batch's gradients and return whether the group is complete."""
        self.map(ops.partial(_add_to, self.share), self.totals, gradients)
        ops.assign_add(self.count, Tensor(1, ms.int32))
        return self.count >= self.num_batches

    def reset(self) -> None:
        """Start the next group."""
        self.map(_set_to_zero, self.totals)
        ops.assign(self.count, Tensor(0, ms.int32))
