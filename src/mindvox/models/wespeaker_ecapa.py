"""ECAPA-TDNN as wespeaker builds it, so that its weights fit.

Where it departs from `EcapaTdnn` (SpeechBrain's version): edges are padded with zeros; the last split of a Res2Net
block passes unchanged, not the first; the layer that joins the blocks has 1536 channels for every `channels`, and no
batch norm; the attention has neither ReLU nor batch norm before tanh, and its context has the unbiased deviation.
"""

from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.layers.conv import Conv1d
from mindvox.layers.norm import batch_norm
from mindvox.layers.pooling.astp import Astp
from mindvox.layers.se import SEBlock
from mindvox.layers.tdnn import TDNNBlock
from mindvox.models.ecapa_tdnn import BLOCK_SIZE, DILATIONS, SCALE, STEM_SIZE


class WespeakerBlock(nn.Cell):
    """1x1 layer, Res2Net block, 1x1 layer, squeeze-excitation, with a residual connection.

    The last split passes unchanged and edges are padded with zeros. In `SERes2NetBlock` it is the first split, and
    edges are mirrored.

    Args:
        channels: number of input and output channels, a multiple of `scale`.
        dilation: distance between the three frames of a split's kernel, frames.
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
        self.splits = nn.CellList([TDNNBlock(width, width, BLOCK_SIZE, dilation, "zero") for _ in range(scale - 1)])
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


class WespeakerEcapa(nn.Cell):
    """Wespeaker's ECAPA_TDNN: frames to one embedding per utterance.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, in_channels), T >= 5.

    Outputs:
        Embeddings, (B, emb_size), not length-normalised.
    """

    @dataclass
    class Options:
        """Keys of the section `model`."""

        in_channels: int = option(80, "feature size", minimum=1)
        channels: int = option(1024, "number of channels of the frame-level layers", minimum=SCALE, multiple_of=SCALE)
        emb_size: int = option(192, "embedding size", minimum=1)
        global_context: bool = option(
            True, "use the utterance's mean and unbiased deviation in the attention: wespeaker's models named GLOB"
        )
        mfa_channels: int = option(
            1536, "number of channels of the layer that joins the blocks; 1536 in wespeaker since 2022", minimum=1
        )
        emb_bn: bool = option(False, "apply batch norm to the embedding")

    min_frames = 9  # the widest convolution: kernel 3, dilation 4

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        in_channels, channels, mfa_channels = options.in_channels, options.channels, options.mfa_channels
        self.layer1 = TDNNBlock(in_channels, channels, STEM_SIZE, padding="zero")
        self.layer2, self.layer3, self.layer4 = (WespeakerBlock(channels, dilation) for dilation in DILATIONS)
        self.conv = Conv1d(3 * channels, mfa_channels)
        self.pool = Astp(mfa_channels, global_context=options.global_context)
        self.bn = batch_norm(self.pool.out_channels)
        self.linear = Conv1d(self.pool.out_channels, options.emb_size)
        self.emb_norm = batch_norm(options.emb_size) if options.emb_bn else None

    def construct(self, feats: Tensor) -> Tensor:
        out1 = self.layer1(feats.swapaxes(1, 2))  # (B, C, T)
        out2 = self.layer2(out1)
        out3 = self.layer3(out2)
        out4 = self.layer4(out3)
        x = ops.relu(self.conv(ops.cat((out2, out3, out4), axis=1)))
        x = self.bn(self.pool(x))
        x = self.linear(x.expand_dims(2)).squeeze(2)
        return x if self.emb_norm is None else self.emb_norm(x)
