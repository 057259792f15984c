"""A model that takes features with time as the last axis."""

from mindspore import Tensor, nn


class TransposedModel(nn.Cell):
    """Swap the axes of the features, then apply a model.

    Args:
        model: a Cell that takes features (B, T, F).

    Inputs:
        - **feats** - (B, F, T).

    Outputs:
        The model's outputs.
    """

    def __init__(self, model: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.model = model

    def construct(self, feats: Tensor) -> Tensor:
        return self.model(feats.swapaxes(1, 2))
