"""Build the optimiser of a configuration."""

from mindspore import nn

from mindvox.config import Config


def make_optimizer(config: Config, model: nn.Cell, loss: nn.Cell) -> nn.Optimizer:
    """Return the optimiser of a model and its objective; its learning rate is set before every step.

    adam: weight decay excludes the batch norms' gamma and beta, as nn.Adam does by default; with amsgrad it divides by
        the
    greatest second moment so far (Reddi et al. 2018, arXiv:1904.09237). sgd: weight decay includes every weight, like
    PyTorch's SGD in the recipes that train_sgd.yaml and train_cosine.yaml follow.
    """
    parameters = [*model.trainable_params(), *loss.trainable_params()]
    if config.optimizer == "sgd":
        # In a group, because outside of groups MindSpore excludes batch norms from weight decay. Not nn.Momentum, which
        # needs one copy of the weights less but ignores use_nesterov on a CPU (2.10).
        group = {"params": parameters, "weight_decay": config.weight_decay}
        return nn.SGD([group], config.schedule.options.max_lrate, config.momentum, nesterov=config.nesterov)
    return nn.Adam(
        parameters,
        learning_rate=config.schedule.options.max_lrate,
        beta1=config.momentum,
        beta2=0.999,
        eps=1e-8,
        weight_decay=config.weight_decay,
        use_amsgrad=config.amsgrad,
    )
