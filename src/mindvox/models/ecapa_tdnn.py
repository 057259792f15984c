"""ECAPA-TDNN (Desplanques, Thienpondt, Demuynck 2020, arXiv:2005.07143) as SpeechBrain builds it, so that its weights
fit.

Where it departs from the paper, as SpeechBrain does: the order is convolution, ReLU, batch norm; the first split of a
Res2Net block passes unchanged; edges are padded by reflection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

import numpy as np
from mindspore import Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.layers.conv import Conv1d
from mindvox.layers.mask import length_mask
from mindvox.layers.norm import batch_norm
from mindvox.layers.pooling import create_pooling
from mindvox.layers.se import SEBlock
from mindvox.layers.tdnn import TDNNBlock
from mindvox.registry import POOLINGS

SCALE = 8  # splits of a Res2Net block
STEM_SIZE = 5  # kernel of the first layer, frames
BLOCK_SIZE = 3  # kernel of the SE-Res2Net blocks, frames
DILATIONS = (2, 3, 4)  # dilation of each SE-Res2Net block, frames
ATTENTIVE = ("asp", "asp_local")  # poolings that ignore padding and expose the weights of the frames


class Res2NetBlock(nn.Cell):
    """Convolve the channels in `scale` splits; from the third on, the previous output is added (Gao et al. 2019).

    Args:
        channels: number of input and output channels, a multiple of `scale`.
        kernel_size: kernel size, frames.
        dilation: distance between the frames of the kernel, frames.
        scale: number of splits.
        padding: padding at the edges, see `Conv2d`.

    Inputs:
        - **x** - (B, channels, T).

    Outputs:
        (B, channels, T).
    """

    def __init__(
        self, channels: int, kernel_size: int, dilation: int, scale: int = SCALE, padding: str = "reflect"
    ) -> None:
        super().__init__()
        if channels % scale:
            raise ValueError(f"`channels` must be a multiple of {scale}, got {channels}.")
        width = channels // scale
        self.scale = scale
        self.blocks = nn.CellList([TDNNBlock(width, width, kernel_size, dilation, padding) for _ in range(scale - 1)])

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
        channels: number of input and output channels.
        kernel_size: kernel size of the Res2Net block, frames.
        dilation: distance between the frames of the kernel, frames.
        padding: padding at the edges, see `Conv2d`.
        inner_channels: number of channels of the Res2Net block; None: `channels`.

    Inputs:
        - **x** - (B, channels, T).
        - **mask** - see `SEBlock`.

    Outputs:
        (B, channels, T).
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        dilation: int,
        padding: str = "reflect",
        inner_channels: Optional[int] = None,
    ) -> None:
        super().__init__()
        inner = channels if inner_channels is None else inner_channels
        self.tdnn1 = TDNNBlock(channels, inner)
        self.res2net_block = Res2NetBlock(inner, kernel_size, dilation, padding=padding)
        self.tdnn2 = TDNNBlock(inner, channels)
        self.se_block = SEBlock(channels)

    def construct(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        return x + self.se_block(self.tdnn2(self.res2net_block(self.tdnn1(x))), mask)


class EcapaTdnn(nn.Cell):
    """ECAPA-TDNN: frames to one embedding per utterance (paper, figure 2).

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, in_channels), T >= 5.
        - **lengths** - None, or the share of the T frames that each utterance fills, (B,), float32, in (0, 1]. The
          frames after it are padding; means, deviations and attention ignore them, as in SpeechBrain. The embedding
          still differs from that of the unpadded utterance, because the convolutions see the padding. It must be None
          for poolings other than asp and asp_local, which cannot ignore padding.

    Outputs:
        Embeddings, (B, emb_size), not length-normalised. After `return_further(["attention"])` a tuple of them and
        the weights of the frames, (B, T, 3 * channels).

    Raises:
        ValueError: `lengths` is given, but the pooling does not support it.
    """

    @dataclass
    class Options:
        """Keys of the section `model`."""

        in_channels: int = option(80, "feature size", minimum=1)
        channels: int = option(
            1024,
            "number of channels of the frame-level layers (512 or 1024 in the paper)",
            minimum=SCALE,
            multiple_of=SCALE,
        )
        emb_size: int = option(192, "embedding size", minimum=1)
        global_context: bool = option(True, "use the utterance's mean and deviation in the attention of asp")
        padding: str = option(
            "reflect",
            "padding at the edges: mirrored frames as in SpeechBrain, or zeros as in mindaudio and the model zoo",
            choices=("reflect", "zero"),
        )
        pooling: str = option(
            "asp", "pooling over time; SpeechBrain has asp, mvector asp, sap, tap, tsp", choices=tuple(POOLINGS)
        )
        pooling_eps: float = option(
            0.0, "constant added to variances in the pooling; 0: the pooling's default", minimum=0
        )

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            if self.global_context or self.pooling == "asp":
                return []
            return [f"global_context: false belongs to pooling asp, got pooling {self.pooling}. Leave it out."]

    min_frames = 9  # the widest convolution: kernel 3, dilation 4
    checkpoint_prefix = "train_ecapa_vox12"  # the model zoo's

    @staticmethod
    def further_outputs(options: Options) -> dict[str, int]:
        """Return the further outputs that an exported model can give, (B, T, channels): number of channels by name."""
        return {"attention": 3 * options.channels} if options.pooling in ATTENTIVE else {}

    @staticmethod
    def is_foldable(options: Options) -> bool:
        """Return whether `folded` supports these options and gives the same embeddings.

        With zero padding it would not: the folded shift would also be added to the zeros at the edges. The pooling must
        be SpeechBrain's.
        """
        return options.padding == "reflect" and options.pooling == "asp" and options.pooling_eps == 0

    @staticmethod
    def folded(arrays: Mapping[str, np.ndarray], options: Options, with_attention: bool = False) -> nn.Cell:
        """Return the network with a checkpoint's arrays and folded batch norms: faster, equal up to rounding.

        Args:
            arrays: "model.*".
            options: the model's options; `is_foldable` must be true for them.
            with_attention: also return the weights of the frames.

        Raises:
            InputError: the arrays do not fit the options.
        """
        from mindvox.models.fold import fold_ecapa  # both modules import this one
        from mindvox.models.folded_cell import FoldedEcapaCell

        return FoldedEcapaCell(fold_ecapa(arrays, options), with_attention)

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        in_channels, channels, emb_size = options.in_channels, options.channels, options.emb_size
        self.blocks = nn.CellList(
            [TDNNBlock(in_channels, channels, STEM_SIZE, padding=options.padding)]
            + [SERes2NetBlock(channels, BLOCK_SIZE, dilation, options.padding) for dilation in DILATIONS]
        )
        self.mfa = TDNNBlock(3 * channels, 3 * channels)  # multi-layer feature aggregation
        pooling = options.pooling if options.global_context else "asp_local"
        self.asp = create_pooling(pooling, 3 * channels, options.pooling_eps)
        self.takes_lengths = options.pooling in ATTENTIVE
        self.asp_bn = batch_norm(self.asp.out_channels)
        self.fc = Conv1d(self.asp.out_channels, emb_size)
        self.returns_attention = False

    def return_further(self, names: Sequence[str]) -> None:
        """Make `construct` also return the named `further_outputs`, after the embedding, in alphabetical order."""
        self.returns_attention = "attention" in names

    def construct(self, feats: Tensor, lengths: Optional[Tensor] = None) -> Union[Tensor, tuple[Tensor, Tensor]]:
        if lengths is not None and not self.takes_lengths:
            raise ValueError("`lengths` needs pooling asp or asp_local: other poolings cannot ignore padding.")
        mask = None if lengths is None else length_mask(lengths, feats.shape[1])
        x = self.blocks[0](feats.swapaxes(1, 2))  # (B, C, T)
        outputs = []
        for index in range(1, 1 + len(DILATIONS)):  # a slice would be a new list, which renames its parameters
            x = self.blocks[index](x, mask)
            outputs.append(x)
        x = self.mfa(ops.cat(outputs, axis=1))
        if self.returns_attention:
            weight = self.asp.attention(x, mask)
            return self._embedding(self.asp.statistics(x, weight)), weight.swapaxes(1, 2)
        return self._embedding(self.asp(x, mask) if self.takes_lengths else self.asp(x))

    def _embedding(self, pooled: Tensor) -> Tensor:
        """Return (B, emb_size) of pooled statistics."""
        return self.fc(self.asp_bn(pooled).expand_dims(2)).squeeze(2)
