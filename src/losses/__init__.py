"""Training objectives; each holds its classifier's weights."""

from src.config import Config
from src.errors import InputError
from src.losses.aam_softmax import AamSoftmax


def make_loss(config: Config, num_classes: int) -> AamSoftmax:
    """Return the objective of a configuration.

    Raises:
        InputError: inter_topk is not less than the number of classes.
    """
    if config.inter_topk >= num_classes:
        raise InputError(f"inter_topk: expected less than the {num_classes} classes, got {config.inter_topk}.")
    return AamSoftmax(
        config.emb_size,
        num_classes,
        config.margin,
        config.scale,
        config.sub_centers,
        config.inter_topk,
        config.inter_topk_margin,
    )
