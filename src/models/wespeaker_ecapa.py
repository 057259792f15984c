"""ECAPA-TDNN as wespeaker builds it, so that its weights fit.

Where it departs from `EcapaTdnn` (SpeechBrain's form): edges are padded by zeros; the last split of a Res2Net block
passes unchanged, not the first; the layer that joins the blocks has 1536 channels at every width, and no batch norm;
the attention has neither ReLU nor batch norm before tanh, and sees the unbiased deviation.
"""

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.layers.conv import TimeConv1d, add_bias, project
from src.layers.over_time import SoftmaxOverTime, count_frames, for_each_frame, mean_over_time, sum_over_time
from src.layers.pooling import tanh
from src.layers.se import SEBlock
from src.layers.tdnn import TDNNBlock, batch_norm

EPS = 1e-7  # wespeaker's floor of a variance


class ZeroPaddedTDNN(TDNNBlock):
    """Time-delay layer that takes zeros for what lies beyond the edges.

    The input is extended by zeros, and the frames that saw the reflection behind them are dropped. Args and outputs are
    those of `TDNNBlock`; T must be greater than dilation * (kernel_size - 1) / 2.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 1, dilation: int = 1, form: str = "product"
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, dilation, form)
        self.pad = dilation * (kernel_size - 1) // 2

    def construct(self, x: Tensor) -> Tensor:
        zeros = ops.zeros_like(x[:, :, : self.pad])
        x = self.conv(ops.cat((zeros, x, zeros), axis=2))[:, :, self.pad : -self.pad]
        return self.norm(ops.relu(x))


class SERes2NetBlock(nn.Cell):
    """1x1 layer, Res2Net block whose last split passes, 1x1 layer, squeeze-excitation, with a residual connection.

    Args:
        channels: channels of input and output, a multiple of `scale`.
        dilation: distance between the three frames that a split's layer sees.
        scale: number of splits of the Res2Net block.
        form: see `TimeConv1d`.

    Inputs:
        - **x** - (B, channels, T), T > dilation.

    Outputs:
        (B, channels, T).
    """

    def __init__(self, channels: int, dilation: int, scale: int = 8, form: str = "product") -> None:
        super().__init__()
        if channels % scale:
            raise ValueError(f"`channels` must be a multiple of {scale}, got {channels}.")
        width = channels // scale
        self.scale = scale
        self.tdnn1 = TDNNBlock(channels, channels, form=form)
        self.splits = nn.CellList([ZeroPaddedTDNN(width, width, 3, dilation, form) for _ in range(scale - 1)])
        self.tdnn2 = TDNNBlock(channels, channels, form=form)
        self.se_block = SEBlock(channels, form=form)

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
        form: see `TimeConv1d`.

    Inputs:
        - **x** - (B, channels, T), T > 1.

    Outputs:
        (B, 2 * channels), float32: the means, then the biased deviations.
    """

    def __init__(
        self, channels: int, attention_channels: int = 128, global_context: bool = True, form: str = "product"
    ) -> None:
        super().__init__()
        self.channels = channels
        self.global_context = global_context
        self.form = form
        self.softmax = SoftmaxOverTime(form)
        seen = 3 * channels if global_context else channels
        self.linear1 = TimeConv1d(seen, attention_channels, form=form)
        self.linear2 = TimeConv1d(attention_channels, channels, form=form)

    def construct(self, x: Tensor) -> Tensor:
        weight = self.softmax(self.linear2(tanh(self.hidden(x))).astype(ms.float32))
        x = x.astype(ms.float32)  # in mixed precision only the products of the attention are half
        mean = sum_over_time(weight * x, self.form)
        # Centred first: wespeaker's E[x^2] - E[x]^2 is the same number, but cancels in single precision.
        centred = x - for_each_frame(mean, x, self.form)
        variance = sum_over_time(weight * centred * centred, self.form)
        return ops.cat((mean, ops.sqrt(ops.maximum(variance, EPS))), axis=1).squeeze(2)

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
        in_channels: size of a feature frame.
        channels: channels of the frame-level layers, a multiple of 8.
        emb_size: size of an embedding.
        global_context: see `AttentivePooling`; wespeaker's models named GLOB have it.
        mfa_channels: channels of the layer that joins the blocks; 1536 in wespeaker since 2022.
        form: see `TimeConv1d`.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, in_channels), T >= 5.

    Outputs:
        Embeddings, (B, emb_size), not normalised in length.
    """

    def __init__(
        self,
        in_channels: int = 80,
        channels: int = 1024,
        emb_size: int = 192,
        global_context: bool = True,
        mfa_channels: int = 1536,
        form: str = "product",
    ) -> None:
        super().__init__()
        self.layer1 = ZeroPaddedTDNN(in_channels, channels, kernel_size=5, form=form)
        self.layer2 = SERes2NetBlock(channels, dilation=2, form=form)
        self.layer3 = SERes2NetBlock(channels, dilation=3, form=form)
        self.layer4 = SERes2NetBlock(channels, dilation=4, form=form)
        self.conv = TimeConv1d(3 * channels, mfa_channels, form=form)
        self.pool = AttentivePooling(mfa_channels, global_context=global_context, form=form)
        self.bn = batch_norm(2 * mfa_channels)
        self.linear = TimeConv1d(2 * mfa_channels, emb_size, form=form)

    def construct(self, feats: Tensor) -> Tensor:
        out1 = self.layer1(feats.swapaxes(1, 2))  # (B, C, T)
        out2 = self.layer2(out1)
        out3 = self.layer3(out2)
        out4 = self.layer4(out3)
        x = ops.relu(self.conv(ops.cat((out2, out3, out4), axis=1)))
        x = self.bn(self.pool(x))
        return self.linear(x.expand_dims(2)).squeeze(2)
