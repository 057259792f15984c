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

    @property
    def num_updates(self) -> int:
        """How often the optimiser has changed the weights."""
        return int(self.optimizer.global_step.asnumpy()[0])

    def construct(self, feats: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        (loss, cosine), gradients = self.gradient(feats, label)
        self.update(gradients)
        return loss, accuracy(cosine, label)

    def update(self, gradients: tuple[Tensor, ...]) -> None:
        if self.clip_grad_norm > 0:
            gradients = ops.clip_by_global_norm(gradients, self.clip_grad_norm)
        self.optimizer(gradients)


class ScaledTrainStep(TrainStep):
    """A step whose loss is scaled for the backward pass, so that half-precision gradients do not vanish.

    Gradients are divided by the scale before they are tested and clipped. When one is not finite, nothing is updated:
    neither weights nor the optimiser's state and count. A dynamic scale is then halved.

    Args:
        model_with_loss, optimizer, clip_grad_norm: see `TrainStep`.
        loss_scaler: holds the scale; its state is part of a checkpoint.
    """

    def __init__(
        self,
        model_with_loss: ModelWithLoss,
        optimizer: nn.Optimizer,
        loss_scaler: ms.amp.LossScaler,
        clip_grad_norm: float = 0.0,
    ) -> None:
        super().__init__(model_with_loss, optimizer, clip_grad_norm)
        self.loss_scaler = loss_scaler
        self.gradient = ms.value_and_grad(self.objective, None, optimizer.parameters, has_aux=True)

    @property
    def scale(self) -> float:
        """The factor on the loss of the next step."""
        return float(self.loss_scaler.scale_value.asnumpy())

    def objective(self, feats: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        loss, cosine = self.model_with_loss(feats, label)
        return self.loss_scaler.scale(loss), loss, cosine

    def construct(self, feats: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        (_, loss, cosine), gradients = self.gradient(feats, label)
        gradients = self.loss_scaler.unscale(gradients)
        finite = ms.amp.all_finite(gradients)
        if finite:
            self.update(gradients)
        self.loss_scaler.adjust(finite)
        return loss, accuracy(cosine, label)


def accuracy(cosine: Tensor, label: Tensor) -> Tensor:
    """Return the share of rows (B, K) whose greatest cosine is their label's."""
    hits = cosine.argmax(1).astype(ms.int32) == label
    return hits.astype(ms.float32).mean()
