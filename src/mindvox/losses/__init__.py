"""Training objectives; each holds its classifier's weights."""

from collections.abc import Mapping

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn


def set_scheduled(loss: nn.Cell, values: Mapping[str, float]) -> None:
    """Set parameters of an objective that its schedule changes, of a compiled step too.

    Args:
        values: by the parameter's name, as `loss.schedule` returns them.
    """
    for name, value in values.items():
        getattr(loss, name).set_data(Tensor(value, ms.float32))


def without_scheduled(arrays: Mapping[str, np.ndarray], loss: nn.Cell) -> dict[str, np.ndarray]:
    """Return a checkpoint's arrays without the scheduled parameters, which the first version saved."""
    return {name: array for name, array in arrays.items() if name.removeprefix("loss.") not in loss.scheduled}


def saved_parameters(loss: nn.Cell) -> dict[str, ms.Parameter]:
    """Return the parameters that a checkpoint holds, by their place: all but those that a schedule sets."""
    return {name: parameter for name, parameter in loss.parameters_and_names() if name not in loss.scheduled}
