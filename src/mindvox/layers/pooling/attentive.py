"""Base classes of attentive poolings; subclasses compute the weights of the frames."""

from collections.abc import Callable

import mindspore as ms
from mindspore import Tensor, nn

from mindvox.layers.building import building_form
from mindvox.layers.pooling.statistics import channels_over_time, refuse_eps, weighted_statistics, weighted_sum


class AttentiveMean(nn.Cell):
    """Pool by a weighted mean.

    Args:
        name: name of the pooling, for the message.
        channels: number of input channels.
        eps: must be 0, because there is no variance.

    Attributes:
        attention: a Cell or method of the subclass. It takes (B, channels, T) and returns weights, float32, with sum 1
            over T: (B, channels, T), or (B, 1, T) for all channels.

    Inputs:
        - **x** - (B, C, T) or (B, C, F, T).

    Outputs:
        (B, channels), float32.

    Raises:
        InputError: `eps` is not 0.
    """

    attention: Callable[[Tensor], Tensor]

    def __init__(self, name: str, channels: int, eps: float) -> None:
        super().__init__()
        refuse_eps(name, eps)
        self.channels = channels
        self.out_channels = channels
        self.form = building_form()

    def construct(self, x: Tensor) -> Tensor:
        x = channels_over_time(x, self.channels)
        return weighted_sum(x.astype(ms.float32), self.attention(x), self.form).squeeze(2)


class AttentiveStatistics(nn.Cell):
    """Pool by a weighted mean and a weighted, biased deviation.

    Args:
        channels: number of input channels.
        eps: floor of the variances.

    Attributes:
        attention: see `AttentiveMean`.

    Inputs:
        - **x** - (B, C, T) or (B, C, F, T).

    Outputs:
        (B, 2 * channels), float32: the means, then the deviations.
    """

    attention: Callable[[Tensor], Tensor]

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.channels = channels
        self.out_channels = 2 * channels
        self.eps = eps
        self.form = building_form()

    def construct(self, x: Tensor) -> Tensor:
        x = channels_over_time(x, self.channels)
        return weighted_statistics(x.astype(ms.float32), self.attention(x), self.eps, self.form).squeeze(2)
