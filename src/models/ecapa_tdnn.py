"""ECAPA-TDNN (Desplanques, Thienpondt, Demuynck 2020, arXiv:2005.07143), in SpeechBrain's form so that its weights fit.

Where SpeechBrain departs from the paper, so does this: convolution, ReLU, batch norm in this order; the first split of
a Res2Net block passes unchanged; edges are padded by reflection.
"""

from typing import Optional

from mindspore import Tensor, nn, ops

from src.layers.conv import TimeConv1d
from src.layers.mask import length_mask
from src.layers.pooling import AttentiveStatisticsPooling
from src.layers.se import SEBlock
from src.layers.tdnn import TDNNBlock, batch_norm


class Res2NetBlock(nn.Cell):
    """Convolve the channels in `scale` splits, each seeing the result of the one before (Gao et al. 2019).

    Args:
        channels: channels of input and output, a multiple of `scale`.
        kernel_size: frames seen at once.
        dilation: distance between them, frames.
        scale: number of splits.
        form: see `TimeConv1d`.

    Inputs:
        - **x** - (B, channels, T).

    Outputs:
        (B, channels, T).
    """

    def __init__(self, channels: int, kernel_size: int, dilation: int, scale: int = 8, form: str = "product") -> None:
        super().__init__()
        if channels % scale:
            raise ValueError(f"`channels` must be a multiple of {scale}, got {channels}.")
        width = channels // scale
        self.scale = scale
        self.blocks = nn.CellList([TDNNBlock(width, width, kernel_size, dilation, form) for _ in range(scale - 1)])

    def construct(self, x: Tensor) -> Tensor:
        splits = ops.chunk(x, self.scale, axis=1)
        outputs = [splits[0]]
        y = self.blocks[0](splits[1])
        outputs.append(y)
        for index in range(2, self.scale):
            y = self.blocks[index - 1](splits[index] + y)
            outputs.append(y)
        return ops.cat(outputs, axis=1)


class SERes2NetBlock(nn.Cell):
    """1x1 layer, Res2Net block, 1x1 layer, squeeze-excitation, with a residual connection (paper, figure 1).

    Args:
        channels: channels of input and output.
        kernel_size: frames that the Res2Net block sees at once.
        dilation: distance between them, frames.
        form: see `TimeConv1d`.

    Inputs:
        - **x** - (B, channels, T).
        - **mask** - see `SEBlock`.

    Outputs:
        (B, channels, T).
    """

    def __init__(self, channels: int, kernel_size: int, dilation: int, form: str = "product") -> None:
        super().__init__()
        self.tdnn1 = TDNNBlock(channels, channels, form=form)
        self.res2net_block = Res2NetBlock(channels, kernel_size, dilation, form=form)
        self.tdnn2 = TDNNBlock(channels, channels, form=form)
        self.se_block = SEBlock(channels, form=form)

    def construct(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        return x + self.se_block(self.tdnn2(self.res2net_block(self.tdnn1(x))), mask)


class EcapaTdnn(nn.Cell):
    """ECAPA-TDNN: frames to one embedding an utterance (paper, figure 2).

    Args:
        in_channels: size of a feature frame.
        channels: channels of the frame-level layers (512 or 1024 in the paper), a multiple of 8.
        emb_size: size of an embedding.
        global_context: see `AttentiveStatisticsPooling`.
        form: see `TimeConv1d`.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, in_channels), T >= 5.
        - **lengths** - None, or the share of the T frames that each utterance fills, (B,), float32, in (0, 1]: what
          is behind is padding and left out of all means, deviations and attention, as in SpeechBrain. The embedding of
          a padded utterance still is not that of the utterance alone, because convolutions see the padding.

    Outputs:
        Embeddings, (B, emb_size), not normalised in length.
    """

    def __init__(
        self,
        in_channels: int = 80,
        channels: int = 1024,
        emb_size: int = 192,
        global_context: bool = True,
        form: str = "product",
    ) -> None:
        super().__init__()
        self.blocks = nn.CellList(
            [TDNNBlock(in_channels, channels, kernel_size=5, form=form)]
            + [SERes2NetBlock(channels, kernel_size=3, dilation=dilation, form=form) for dilation in (2, 3, 4)]
        )
        self.mfa = TDNNBlock(3 * channels, 3 * channels, form=form)  # multi-layer feature aggregation
        self.asp = AttentiveStatisticsPooling(3 * channels, global_context=global_context, form=form)
        self.asp_bn = batch_norm(6 * channels)
        self.fc = TimeConv1d(6 * channels, emb_size, form=form)

    def construct(self, feats: Tensor, lengths: Optional[Tensor] = None) -> Tensor:
        mask = None if lengths is None else length_mask(lengths, feats.shape[1])
        x = self.blocks[0](feats.swapaxes(1, 2))  # (B, C, T)
        outputs = []
        for block in self.blocks[1:]:
            x = block(x, mask)
            outputs.append(x)
        x = self.mfa(ops.cat(outputs, axis=1))
        x = self.asp_bn(self.asp(x, mask))
        return self.fc(x.expand_dims(2)).squeeze(2)
