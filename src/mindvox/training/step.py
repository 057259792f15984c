"""One optimiser step as one compiled graph."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Optional

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindvox.config import Config
from mindvox.losses import saved_parameters
from mindvox.losses.objective import Objective
from mindvox.training.accumulation import GradientMean
from mindvox.training.ema import MovingAverage
from mindvox.training.gather import GlobalBatch
from mindvox.training.optimizers import make_optimizer
from mindvox.training.precision import loss_scaler


class ModelWithLoss(nn.Cell):
    """A model and its objective: (feats, label) -> loss, score, and the labels of the score.

    Args:
        model, loss: the model and the objective.
        global_batch: joins the embeddings of all ranks before the objective; None: use those of this rank.
    """

    def __init__(self, model: nn.Cell, loss: nn.Cell, global_batch: Optional[GlobalBatch] = None) -> None:
        super().__init__(auto_prefix=False)  # a prefix would rename the parameters
        of_model = {parameter.name for parameter in model.get_parameters()}
        for parameter in loss.get_parameters():
            if parameter.name in of_model:  # an optimiser requires unique names
                parameter.name = f"loss.{parameter.name}"
        self.model = model
        self.loss = loss
        self.global_batch = global_batch

    def construct(self, feats: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        embedding = self.model(feats)
        if self.global_batch is not None:
            embedding, label = self.global_batch(embedding, label)
        loss, score = self.loss(embedding, label)
        return loss, score, label


class TrainStep(nn.Cell):
    """Forward and backward pass and, at the end of a group of batches, mean over ranks, clipping, update, average.

    A Cell and not a jit function, which ignores later changes of parameters and of the training mode (MindSpore 2.10).

    Args:
        model_with_loss: the cell to differentiate.
        optimizer: updates its parameters.
        clip_grad_norm: greatest global norm of the gradients; 0: no clipping.
        num_ranks: number of ranks, each with its own batch; gradients are averaged over them.
        accumulate_steps: number of batches in a group, whose mean gradient makes one update.
        ema_decay: decay of a moving average of the model's weights; 0: none.

    Inputs:
        - **feats** - (B, T, F).
        - **label** - (B,), int32.

    Outputs:
        The mean loss and the objective's accuracy, both scalars, over the batches of all ranks.
    """

    def __init__(
        self,
        model_with_loss: ModelWithLoss,
        optimizer: nn.Optimizer,
        clip_grad_norm: float = 0.0,
        num_ranks: int = 1,
        accumulate_steps: int = 1,
        ema_decay: float = 0.0,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.model_with_loss = model_with_loss
        self.optimizer = optimizer
        self.clip_grad_norm = clip_grad_norm
        self.gradient = ms.value_and_grad(model_with_loss, None, optimizer.parameters, has_aux=True)
        self.over_ranks = MeanOverRanks(optimizer.parameters, num_ranks) if num_ranks > 1 else None
        self.group = GradientMean(optimizer.parameters, accumulate_steps) if accumulate_steps > 1 else None
        self.average = MovingAverage(model_with_loss.model, ema_decay) if ema_decay > 0 else None

    @property
    def num_updates(self) -> int:
        """Number of updates by the optimiser."""
        return int(self.optimizer.global_step.asnumpy()[0])

    @property
    def num_gathered(self) -> int:
        """Number of batches in an incomplete group; 0 after a step that updated or overflowed."""
        return int(self.group.count.asnumpy()) if self.group else 0

    def state(self) -> dict[str, Parameter]:
        """Return everything in a checkpoint by its name: model.*, loss.*, opt.*; if used, sum.* and ema.*."""
        model, loss = self.model_with_loss.model, self.model_with_loss.loss
        state = {f"model.{parameter.name}": parameter for parameter in model.get_parameters()}
        state |= {f"loss.{name}": parameter for name, parameter in saved_parameters(loss).items()}
        of_model = {id(parameter) for parameter in self.model_with_loss.get_parameters()}
        for parameter in self.optimizer.get_parameters():
            if id(parameter) not in of_model:
                state[f"opt.{parameter.name}"] = parameter
        for more in (self.group, self.average):
            state |= more.state() if more else {}
        return state

    def averaged_weights(self) -> AbstractContextManager:
        """Return a context in which the model has the weights for evaluation: the moving average, if any."""
        return self.average.in_model() if self.average else nullcontext()

    def construct(self, feats: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        (loss, score, label), gradients = self.gradient(feats, label)
        self.take(gradients)
        return self.measures(loss, score, label)

    def measures(self, loss: Tensor, score: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy over the batches of all ranks."""
        found = loss, self.model_with_loss.loss.accuracy(score, label)
        return found if self.over_ranks is None else self.over_ranks.measures(found)

    def take(self, gradients: tuple[Tensor, ...]) -> None:
        """Update with a batch's gradients, or add them to their group and update when it is complete."""
        if self.group is None:
            self.update(gradients)
        elif self.group(gradients):
            self.update(self.group.totals)
            self.group.reset()

    def update(self, gradients: tuple[Tensor, ...]) -> None:
        """Average gradients over the ranks, and update the weights."""
        self.change_weights(gradients if self.over_ranks is None else self.over_ranks.gradients(gradients))

    def change_weights(self, gradients: tuple[Tensor, ...]) -> None:
        if self.clip_grad_norm > 0:
            gradients = ops.clip_by_global_norm(gradients, self.clip_grad_norm)
        self.optimizer(gradients)
        if self.average is not None:
            self.average(self.optimizer.global_step)


class ScaledTrainStep(TrainStep):
    """A step with loss scaling, so that half-precision gradients do not vanish.

    Gradients are divided by the scale before they are averaged, tested and clipped. If a gradient of a group is not
    finite on any rank, nothing is updated: neither weights nor the optimiser's state and count. A dynamic scale is then
    halved; it is the same for all batches of a group.

    Args:
        model_with_loss, optimizer, clip_grad_norm, num_ranks, accumulate_steps, ema_decay: see `TrainStep`.
        loss_scaler: holds the scale; its state is part of a checkpoint.
    """

    def __init__(
        self,
        model_with_loss: ModelWithLoss,
        optimizer: nn.Optimizer,
        loss_scaler: ms.amp.LossScaler,
        clip_grad_norm: float = 0.0,
        num_ranks: int = 1,
        accumulate_steps: int = 1,
        ema_decay: float = 0.0,
    ) -> None:
        super().__init__(model_with_loss, optimizer, clip_grad_norm, num_ranks, accumulate_steps, ema_decay)
        self.loss_scaler = loss_scaler
        self.gradient = ms.value_and_grad(self.objective, None, optimizer.parameters, has_aux=True)

    @property
    def scale(self) -> float:
        """Loss scale of the next step."""
        return float(self.loss_scaler.scale_value.asnumpy())

    def state(self) -> dict[str, Parameter]:
        """Return everything in a checkpoint; includes scale.* of a dynamic scale."""
        state = super().state()
        if isinstance(self.loss_scaler, ms.amp.DynamicLossScaler):
            state |= {f"scale.{name}": getattr(self.loss_scaler, name) for name in ("scale_value", "counter")}
        return state

    def objective(self, feats: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        loss, score, label = self.model_with_loss(feats, label)
        return self.loss_scaler.scale(loss), loss, score, label

    def construct(self, feats: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        (_, loss, score, label), gradients = self.gradient(feats, label)
        self.take(self.loss_scaler.unscale(gradients))
        return self.measures(loss, score, label)

    def update(self, gradients: tuple[Tensor, ...]) -> None:
        """Average gradients over the ranks, update the weights unless a gradient is not finite, and adjust the
        scale.
        """
        if self.over_ranks is not None:
            gradients = self.over_ranks.gradients(gradients)
        finite = ms.amp.all_finite(gradients)
        if finite:
            self.change_weights(gradients)
        self.loss_scaler.adjust(finite)


class MeanOverRanks(nn.Cell):
    """Average gradients and measures over the ranks.

    A custom step does not do so automatically (MindSpore 2.10): without this, the ranks diverge silently. Gradients of
    one shape are sent together, because each collective costs more than a millisecond on a CPU.

    Args:
        parameters: parameters of the gradients, in their order.
        num_ranks: number of ranks.
    """

    def __init__(self, parameters: ParameterTuple, num_ranks: int) -> None:
        super().__init__(auto_prefix=False)
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, parameter in enumerate(parameters):
            by_shape.setdefault(parameter.shape, []).append(index)
        self.groups = tuple(tuple(group) for group in by_shape.values())
        travelled = [index for group in self.groups for index in group]
        self.places = tuple(travelled.index(index) for index in range(len(travelled)))
        self.sum = ops.AllReduce(ops.ReduceOp.SUM)
        self.share = 1 / num_ranks

    def gradients(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the mean gradients."""
        means: tuple[Tensor, ...] = ()
        for group in self.groups:
            if len(group) == 1:
                means = means + (self.sum(gradients[group[0]]) * self.share,)
            else:
                means = means + ops.unstack(self.sum(ops.stack([gradients[index] for index in group])) * self.share)
        return tuple([means[place] for place in self.places])

    def measures(self, measures: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the means of two scalars."""
        loss, hits = self.sum(ops.stack(measures)) * self.share
        return loss, hits


def make_step(config: Config, model: nn.Cell, loss: Objective, num_ranks: int = 1, rank: int = 0) -> TrainStep:
    """Return the step of a configuration with its optimiser, for rank `rank` of `num_ranks`."""
    is_joined = num_ranks > 1 and loss.utterances_per_speaker is not None
    model_with_loss = ModelWithLoss(model, loss, GlobalBatch(rank, num_ranks) if is_joined else None)
    optimizer = make_optimizer(config, model, loss)
    scaler = loss_scaler(config.loss_scale, config.amp_level, config.loss_scale_start, config.loss_scale_window)
    options: dict[str, Any] = {
        "clip_grad_norm": config.clip_grad_norm,
        "num_ranks": num_ranks,
        "accumulate_steps": config.accumulate_steps,
        "ema_decay": config.ema_decay,
    }
    if scaler is None:
        return TrainStep(model_with_loss, optimizer, **options)
    return ScaledTrainStep(model_with_loss, optimizer, scaler, **options)
