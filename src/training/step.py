"""One optimiser step as one compiled graph."""

import mindspore as ms
from mindspore import Tensor, nn, ops


class ModelWithLoss(nn.Cell):
    """A model and its objective: (feats, label) -> loss, cosines."""

    def __init__(self, model: nn.Cell, loss: nn.Cell) -> None:
        super().__init__(auto_prefix=False)  # a prefix would rename the parameters
        self.model = model
        self.loss = loss

    def construct(self, feats: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        return self.loss(self.model(feats), label)


class TrainStep(nn.Cell):
    """Forward, backward, clipping and the optimiser's update.

    A Cell and not a jit function: those ignore later changes of parameters and of the training mode (MindSpore 2.10).

    Args:
        model_with_loss: what to differentiate.
        optimizer: updates its parameters.
        clip_grad_norm: greatest global norm of the gradients; 0: no clipping.

    Inputs:
        - **feats** - (B, T, F).
        - **label** - (B,), int32.

    Outputs:
        The mean loss, and the share of utterances whose own class has the greatest cosine, both scalars.
    """

    def __init__(self, model_with_loss: ModelWithLoss, optimizer: nn.Optimizer, clip_grad_norm: float = 0.0) -> None:
        super().__init__(auto_prefix=False)
        self.model_with_loss = model_with_loss
        self.optimizer = optimizer
        self.clip_grad_norm = clip_grad_norm
        self.gradient = ms.value_and_grad(model_with_loss, None, optimizer.parameters, has_aux=True)

    def construct(self, feats: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        (loss, cosine), gradients = self.gradient(feats, label)
        if self.clip_grad_norm > 0:
            gradients = ops.clip_by_global_norm(gradients, self.clip_grad_norm)
        self.optimizer(gradients)
        hits = cosine.argmax(1).astype(ms.int32) == label
        return loss, hits.astype(ms.float32).mean()
