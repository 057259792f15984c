"""A model that takes features with time as the last axis."""

from mindspore import Tensor, nn


class TransposedModel(nn.Cell):
    """A model of features behind a transpose.

    Args:
        model: features (B, T, F) to whatever it returns.

    Inputs:
        - **feats** - (B, F, T).

    Outputs:
        The model's.
    """

    def __init__(self, model: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.model = model

    def construct(self, feats: Tensor) -> Tensor:
        return self.model(feats.swapaxes(1, 2))
