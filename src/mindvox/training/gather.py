"""The embeddings of all processes, for objectives that compare those of a batch with each other."""

import mindspore as ms
from mindspore import Tensor, nn, ops


class GatherRows(nn.Cell):
    """Join the rows of all processes that train together, in the order of their ranks; each gets its gradient back.

    The framework's own gradient is a ReduceScatter, which fails on a CPU (MindSpore 2.10). Here the gradients of all
    processes are added and each takes its part. Every process computes the same loss of the joined rows, so the sum is
    `num_ranks` times one gradient, which the mean over processes in the step divides again.

    Args:
        rank: this process.
        num_ranks: how many there are.

    Inputs:
        - **x** - (B, D), B the same in every process.

    Outputs:
        (num_ranks * B, D).
    """

    def __init__(self, rank: int, num_ranks: int) -> None:
        super().__init__(auto_prefix=False)
        self.rank = rank
        self.gather = ops.AllGather()
        self.sum = ops.AllReduce(ops.ReduceOp.SUM)

    def construct(self, x: Tensor) -> Tensor:
        return self.gather(x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        size = x.shape[0]
        return (self.sum(dout)[self.rank * size : (self.rank + 1) * size],)


class GlobalBatch(nn.Cell):
    """Join embeddings and labels of all processes; see `GatherRows`.

    Args:
        rank, num_ranks: see `GatherRows`.

    Inputs:
        - **embedding** - (B, D).
        - **label** - (B,), int32.

    Outputs:
        (num_ranks * B, D), float32, and (num_ranks * B,).
    """

    def __init__(self, rank: int, num_ranks: int) -> None:
        super().__init__(auto_prefix=False)
        self.rows = GatherRows(rank, num_ranks)
        self.gather = ops.AllGather()

    def construct(self, embedding: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        return self.rows(embedding.astype(ms.float32)), self.gather(label)
