"""The layers after a pooling."""

from mindspore import Tensor, nn, ops

from mindvox.layers.conv import Conv1d
from mindvox.layers.norm import batch_norm


class EmbeddingLayers(nn.Cell):
    """A linear layer, or two with ReLU and batch norm between them (Snyder et al. 2018, x-vectors).

    Args:
        in_channels: size of the pooled statistics of an utterance.
        emb_size: embedding size.
        two: add a second linear layer, whose output is the embedding.

    Inputs:
        - **x** - (B, in_channels).

    Outputs:
        (B, emb_size).
    """

    def __init__(self, in_channels: int, emb_size: int, two: bool = False) -> None:
        super().__init__()
        self.has_second = two
        self.linear1 = Conv1d(in_channels, emb_size)
        if two:
            self.norm = batch_norm(emb_size, affine=False)
            self.linear2 = Conv1d(emb_size, emb_size)

    def construct(self, x: Tensor) -> Tensor:
        x = self.linear1(x.expand_dims(2)).squeeze(2)
        if self.has_second:
            x = self.linear2(self.norm(ops.relu(x)).expand_dims(2)).squeeze(2)
        return x
