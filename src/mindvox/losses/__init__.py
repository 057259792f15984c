"""Training objectives; each holds the weights of its classifier."""

from collections.abc import Mapping

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn


def set_scheduled(loss: nn.Cell, values: Mapping[str, float]) -> None:
    """Set the parameters of an objective that its schedule changes, also in a compiled step.

    Args:
        values: values by the parameter's name, as returned by `loss.schedule`.
    """
    for name, value in values.items():
        getattr(loss, name).set_data(Tensor(value, ms.float32))


def without_scheduled(arrays: Mapping[str, np.ndarray], loss: nn.Cell) -> dict[str, np.ndarray]:
    """Return a checkpoint's arrays without scheduled parameters, which the first version saved."""
    return {name: array for name, array in arrays.items() if name.removeprefix("loss.") not in loss.scheduled}


def saved_parameters(loss: nn.Cell) -> dict[str, ms.Parameter]:
    """Return the parameters to save in a checkpoint, by their path: all except scheduled ones."""
    return {name: parameter for name, parameter in loss.parameters_and_names() if name not in loss.scheduled}
