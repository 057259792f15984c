"""Pooling of frames into one vector an utterance."""

from typing import Optional

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvox.layers.building import building_form
from mindvox.layers.conv import Conv1d, add_bias, project
from mindvox.layers.over_time import SoftmaxOverTime, for_each_frame, mean_over_time, sum_over_time
from mindvox.layers.tdnn import TDNNBlock, batch_norm

EPS = 1e-12  # SpeechBrain's floor of the variance


class ContextTDNN(nn.Cell):
    """1x1 time-delay layer over frames, each joined by the same context: [x; context] as one input.

    The context's share of the product is computed once and not for every frame, which saves two thirds of the work
    and, in float32, most of the rounding of its gradient. Parameters are those of `TDNNBlock` over the joined input.

    Args:
        channels: channels of a frame.
        context_channels: channels of the context.
        out_channels: channels of the output.

    Inputs:
        - **x** - (B, channels, T).
        - **context** - (B, context_channels, 1).

    Outputs:
        (B, out_channels, T).
    """

    def __init__(self, channels: int, context_channels: int, out_channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.form = building_form()
        self.conv = Conv1d(channels + context_channels, out_channels)
        self.norm = batch_norm(out_channels)

    def construct(self, x: Tensor, context: Tensor) -> Tensor:
        weight = self.conv.weight
        context = add_bias(project(context, weight[:, self.channels :]), self.conv.bias)
        frames = project(x, weight[:, : self.channels]) + for_each_frame(context, x, self.form)
        return self.norm(ops.relu(frames))


class AttentiveStatisticsPooling(nn.Cell):
    """Pool by an attentive mean and deviation for each channel (Desplanques et al. 2020, arXiv:2005.07143, eq. 1-4).

    Args:
        channels: channels of the input.
        attention_channels: channels between the two products of the attention.
        global_context: the attention sees the utterance's mean and deviation beside each frame.

    Inputs:
        - **x** - (B, channels, T).
        - **mask** - None, or (B, 1, T) from `length_mask`: padding is left out of all statistics.

    Outputs:
        (B, 2 * channels), float32: the means, then the biased deviations.
    """

    def __init__(self, channels: int, attention_channels: int = 128, global_context: bool = True) -> None:
        super().__init__()
        self.global_context = global_context
        self.form = building_form()
        if global_context:
            self.tdnn = ContextTDNN(channels, 2 * channels, attention_channels)
        else:
            self.tdnn = TDNNBlock(channels, attention_channels)
        self.conv = Conv1d(attention_channels, channels)
        self.softmax = SoftmaxOverTime()

    def construct(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        frames = x.astype(ms.float32)  # in mixed precision only the products of the attention are half
        if self.global_context:
            mean = mean_over_time(frames, self.form, mask)
            centred = frames - for_each_frame(mean, frames, self.form)
            deviation = floored_root(mean_over_time(centred * centred, self.form, mask), EPS)
            hidden = self.tdnn(x, ops.cat((mean, deviation), axis=1).astype(x.dtype))
        else:
            hidden = self.tdnn(x)
        energy = self.conv(tanh(hidden)).astype(ms.float32)
        if mask is not None:
            energy = ops.masked_fill(energy, mask == 0, float("-inf"))
        weight = self.softmax(energy)
        return weighted_statistics(frames, weight, EPS, self.form).squeeze(2)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, through sigmoid: MindSpore's CPU kernel of tanh is wrong by up to 1e-4 (2.10).

    Doubled by sums, the same to the bit: a product with a Python number is Muls, which old MindSpore Lite lacks.
    """
    y = ops.sigmoid(x + x)
    return y + y - 1


def weighted_statistics(x: Tensor, weight: Tensor, eps: float, form: str) -> Tensor:
    """Weighted means over time, then deviations, of x (B, C, T): (B, 2C, 1).

    Args:
        weight: (B, C, T), sums to 1 over T.
        eps: floor of the variance.
        form: see `sum_over_time`.
    """
    mean = sum_over_time(weight * x, form)
    # Centred first: E[x^2] - E[x]^2 is the same number, but cancels in single precision.
    centred = x - for_each_frame(mean, x, form)
    return ops.cat((mean, floored_root(sum_over_time(weight * centred * centred, form), eps)), axis=1)


def floored_root(variance: Tensor, eps: float) -> Tensor:
    """Square root of a variance that is at least `eps`, so that its slope stays finite."""
    return ops.sqrt(ops.maximum(variance, eps))
