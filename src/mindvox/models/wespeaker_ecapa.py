"""ECAPA-TDNN as wespeaker builds it, so that its weights fit.

Where it departs from `EcapaTdnn` (SpeechBrain's form): edges are padded by zeros; the last split of a Res2Net block
passes unchanged, not the first; the layer that joins the blocks has 1536 channels at every width, and no batch norm;
the attention has neither ReLU nor batch norm before tanh, and sees the unbiased deviation.
"""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.layers.building import building_form
from mindvox.layers.conv import Conv1d, add_bias, project
from mindvox.layers.over_time import SoftmaxOverTime, count_frames, for_each_frame, mean_over_time, sum_over_time
from mindvox.layers.pooling import tanh, weighted_statistics
from mindvox.layers.se import SEBlock
from mindvox.layers.tdnn import TDNNBlock, batch_norm

EPS = 1e-7  # wespeaker's floor of a variance
SCALE = 8  # splits of a Res2Net block


class SERes2Block(nn.Cell):
    """1x1 layer, Res2Net block whose last split passes, 1x1 layer, squeeze-excitation, with a residual connection.

    Args:
        channels: channels of input and output, a multiple of `scale`.
        dilation: distance between the three frames that a split's layer sees.
        scale: number of splits of the Res2Net block.

    Inputs:
        - **x** - (B, channels, T), T > dilation.

    Outputs:
        (B, channels, T).
    """

    def __init__(self, channels: int, dilation: int, scale: int = SCALE) -> None:
        super().__init__()
        if channels % scale:
            raise ValueError(f"`channels` must be a multiple of {scale}, got {channels}.")
        width = channels // scale
        self.scale = scale
        self.tdnn1 = TDNNBlock(channels, channels)
        self.splits = nn.CellList([TDNNBlock(width, width, 3, dilation, "zero") for _ in range(scale - 1)])
        self.tdnn2 = TDNNBlock(channels, channels)
        self.se_block = SEBlock(channels)

    def construct(self, x: Tensor) -> Tensor:
        return x + self.se_block(self.tdnn2(self.res2net(self.tdnn1(x))))

    def res2net(self, x: Tensor) -> Tensor:
        parts = ops.chunk(x, self.scale, axis=1)
        y = self.splits[0](parts[0])
        outputs = [y]
        for index in range(1, self.scale - 1):
            y = self.splits[index](parts[index] + y)
            outputs.append(y)
        outputs.append(parts[self.scale - 1])
        return ops.cat(outputs, axis=1)


class AttentivePooling(nn.Cell):
    """Pool by an attentive mean and deviation for each channel (wespeaker's ASTP).

    Args:
        channels: channels of the input.
        attention_channels: channels between the two products of the attention.
        global_context: the attention sees the utterance's mean and unbiased deviation beside each frame.

    Inputs:
        - **x** - (B, channels, T), T > 1.

    Outputs:
        (B, 2 * channels), float32: the means, then the biased deviations.
    """

    def __init__(self, channels: int, attention_channels: int = 128, global_context: bool = True) -> None:
        super().__init__()
        self.channels = channels
        self.global_context = global_context
        self.form = building_form()
        self.softmax = SoftmaxOverTime()
        seen = 3 * channels if global_context else channels
        self.linear1 = Conv1d(seen, attention_channels)
        self.linear2 = Conv1d(attention_channels, channels)

    def construct(self, x: Tensor) -> Tensor:
        weight = self.softmax(self.linear2(tanh(self.hidden(x))).astype(ms.float32))
        # In mixed precision only the products of the attention are half.
        return weighted_statistics(x.astype(ms.float32), weight, EPS, self.form).squeeze(2)

    def hidden(self, x: Tensor) -> Tensor:
        if not self.global_context:
            return self.linear1(x)
        mean = mean_over_time(x, self.form)
        centred = x.astype(ms.float32) - for_each_frame(mean, x, self.form)
        variance = sum_over_time(centred * centred, self.form) / (count_frames(x, self.form) - 1)
        context = ops.cat((mean, ops.sqrt(variance + EPS)), axis=1).astype(x.dtype)
        weight = self.linear1.weight
        # The context's share of the product is the same for every frame and computed once, as in `ContextTDNN`.
        context = add_bias(project(context, weight[:, self.channels :]), self.linear1.bias)
        return project(x, weight[:, : self.channels]) + for_each_frame(context, x, self.form)


class WespeakerEcapa(nn.Cell):
    """Wespeaker's ECAPA_TDNN: frames to one embedding an utterance.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, in_channels), T >= 5.

    Outputs:
        Embeddings, (B, emb_size), not normalised in length.
    """

    @dataclass
    class Options:
        """Keys of the section `model`."""

        in_channels: int = option(80, "size of a feature frame", minimum=1)
        channels: int = option(1024, "channels of the frame-level layers", minimum=8)
        emb_size: int = option(192, "size of an embedding", minimum=1)
        global_context: bool = option(
            True, "attention sees the utterance's mean and unbiased deviation: wespeaker's models named GLOB"
        )
        mfa_channels: int = option(
            1536, "channels of the layer that joins the blocks; 1536 in wespeaker since 2022", minimum=1
        )

        def problems(self) -> list[str]:
            """Return what is wrong between keys, one line each."""
            if self.channels % SCALE:
                return [f"channels: expected a multiple of {SCALE}, got {self.channels}."]
            return []

    min_frames = 9  # the widest convolution: kernel 3, dilation 4

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        in_channels, channels, mfa_channels = options.in_channels, options.channels, options.mfa_channels
        self.layer1 = TDNNBlock(in_channels, channels, kernel_size=5, padding="zero")
        self.layer2 = SERes2Block(channels, dilation=2)
        self.layer3 = SERes2Block(channels, dilation=3)
        self.layer4 = SERes2Block(channels, dilation=4)
        self.conv = Conv1d(3 * channels, mfa_channels)
        self.pool = AttentivePooling(mfa_channels, global_context=options.global_context)
        self.bn = batch_norm(2 * mfa_channels)
        self.linear = Conv1d(2 * mfa_channels, options.emb_size)

    def construct(self, feats: Tensor) -> Tensor:
        out1 = self.layer1(feats.swapaxes(1, 2))  # (B, C, T)
        out2 = self.layer2(out1)
        out3 = self.layer3(out2)
        out4 = self.layer4(out3)
        x = ops.relu(self.conv(ops.cat((out2, out3, out4), axis=1)))
        x = self.bn(self.pool(x))
        return self.linear(x.expand_dims(2)).squeeze(2)
