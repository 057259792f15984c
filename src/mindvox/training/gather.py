"""Gather the embeddings of all ranks, for objectives that compare those of a batch with each other."""

import mindspore as ms
from mindspore import Tensor, nn, ops


class GatherRows(nn.Cell):
    """Join the rows of all ranks in the order of the ranks; each rank gets the gradient of its rows.

    The framework's own gradient is a ReduceScatter, which fails on a CPU (MindSpore 2.10). Here the gradients of all
    ranks are added, and each rank takes its part. Every rank computes the same loss of the joined rows, so the sum is
    `num_ranks` times one gradient; the mean over ranks in the step divides it again.

    Args:
        rank: this rank.
        num_ranks: number of ranks.

    Inputs:
        - **x** - (B, D), with the same B on every rank.

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
    """Join embeddings and labels of all ranks; see `GatherRows`.

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
