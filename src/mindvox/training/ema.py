"""Exponential moving average of a model's weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

_move = ops.MultitypeFuncGraph("move")


@_move.register("Tensor", "Tensor", "Tensor")
def _move_towards(share: Tensor, average: Tensor, value: Tensor) -> Tensor:
    return ops.assign(average, average + share * (value - average))


class MovingAverage(nn.Cell):
    """Exponential moving average of a model's parameters over updates.

    Batch norm statistics are averaged like the weights, because those of the newest weights would not fit the average.
    After n updates the decay is at most (1 + n) / (10 + n), so that the average forgets the initial weights.

    Args:
        model: model whose parameters and batch norm statistics are averaged.
        decay: share of the average that an update keeps.
    """

    def __init__(self, model: nn.Cell, decay: float) -> None:
        super().__init__(auto_prefix=False)
        self.decay = decay
        self.values = ParameterTuple(model.get_parameters())
        self.averages = self.values.clone("ema", "same")
        self.map = ops.HyperMap()

    def state(self) -> dict[str, Parameter]:
        """Return the averages by their names in a checkpoint, ema.*."""
        return {parameter.name: parameter for parameter in self.averages}

    def construct(self, num_updates: Tensor) -> None:
        """Move the averages towards the weights after update `num_updates`, (1,), int32."""
        count = num_updates.astype(ms.float32).reshape(())
        share = 1 - ops.minimum((1 + count) / (10 + count), Tensor(self.decay, ms.float32))
        self.map(ops.partial(_move, share), self.averages, self.values)

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """Give the model the averages for the duration of the block, as for validation."""
        kept = [value.asnumpy().copy() for value in self.values]
        for value, average in zip(self.values, self.averages, strict=True):
            value.set_data(Tensor(average.asnumpy().copy()))
        try:
            yield
        finally:
            for value, weights in zip(self.values, kept, strict=True):
                value.set_data(Tensor(weights))
