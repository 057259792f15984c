"""Pooling of frames into one vector an utterance."""

from typing import Optional

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.layers.conv import TimeConv1d, add_bias, project
from src.layers.over_time import SoftmaxOverTime, for_each_frame, mean_over_time, sum_over_time
from src.layers.tdnn import TDNNBlock, batch_norm

EPS = 1e-12  # SpeechBrain's floor of the variance


class ContextTDNN(nn.Cell):
    """1x1 time-delay layer over frames, each joined by the same context: [x; context] as one input.

    The context's share of the product is computed once and not for every frame, which saves two thirds of the work
    and, in float32, most of the rounding of its gradient. Parameters are those of `TDNNBlock` over the joined input.

    Args:
        channels: channels of a frame.
        context_channels: channels of the context.
        out_channels: channels of the output.
        form: see `TimeConv1d`.

    Inputs:
        - **x** - (B, channels, T).
        - **context** - (B, context_channels, 1).

    Outputs:
        (B, out_channels, T).
    """

    def __init__(self, channels: int, context_channels: int, out_channels: int, form: str = "product") -> None:
        super().__init__()
        self.channels = channels
        self.form = form
        self.conv = TimeConv1d(channels + context_channels, out_channels, form=form)
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
        form: see `TimeConv1d`.

    Inputs:
        - **x** - (B, channels, T).
        - **mask** - None, or (B, 1, T) from `length_mask`: padding is left out of all statistics.

    Outputs:
        (B, 2 * channels), float32: the means, then the biased deviations.
    """

    def __init__(
        self, channels: int, attention_channels: int = 128, global_context: bool = True, form: str = "product"
    ) -> None:
        super().__init__()
        self.global_context = global_context
        self.form = form
        if global_context:
            self.tdnn = ContextTDNN(channels, 2 * channels, attention_channels, form)
        else:
            self.tdnn = TDNNBlock(channels, attention_channels, form=form)
        self.conv = TimeConv1d(attention_channels, channels, form=form)
        self.softmax = SoftmaxOverTime(form)

    def construct(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        frames = x.astype(ms.float32)  # in mixed precision only the products of the attention are half
        if self.global_context:
            mean = mean_over_time(frames, self.form, mask)
            centred = frames - for_each_frame(mean, frames, self.form)
            deviation = _root(mean_over_time(centred * centred, self.form, mask))
            hidden = self.tdnn(x, ops.cat((mean, deviation), axis=1).astype(x.dtype))
        else:
            hidden = self.tdnn(x)
        energy = self.conv(tanh(hidden)).astype(ms.float32)
        if mask is not None:
            energy = ops.masked_fill(energy, mask == 0, float("-inf"))
        weight = self.softmax(energy)
        mean = sum_over_time(weight * frames, self.form)
        centred = frames - for_each_frame(mean, frames, self.form)
        deviation = _root(sum_over_time(weight * centred * centred, self.form))
        return ops.cat((mean, deviation), axis=1).squeeze(2)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, through sigmoid: MindSpore's CPU kernel of tanh is wrong by up to 1e-4 (2.10).

    Doubled by sums, the same to the bit: a product with a Python number is Muls, which old MindSpore Lite lacks.
    """
    y = ops.sigmoid(x + x)
    return y + y - 1


def _root(variance: Tensor) -> Tensor:
    return ops.sqrt(ops.maximum(variance, EPS))
