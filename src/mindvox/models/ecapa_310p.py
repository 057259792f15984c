"""ECAPA-TDNN as the Ascend 310P guide runs it: Joovvhan/ECAPA-TDNN, so that its weights fit.

Where it departs from `EcapaTdnn` (SpeechBrain's version of the paper, arXiv:2005.07143): edges are padded with zeros;
a Res2Net block has eight times the network's channels, so that each split is as wide as the network; a block's input is
the sum of all outputs before it; the layer that joins the blocks has no batch norm; the attention is two products with
ReLU between them, without tanh, batch norm and global context; the embedding passes a batch norm, then its length is
normalised to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Union

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.layers.building import building_form
from mindvox.layers.conv import Conv1d
from mindvox.layers.norm import batch_norm
from mindvox.layers.over_time import SoftmaxOverTime
from mindvox.layers.pooling.asp import ATTENTION_CHANNELS
from mindvox.layers.pooling.statistics import weighted_statistics
from mindvox.layers.tdnn import TDNNBlock
from mindvox.layers.unit_length import unit
from mindvox.models.ecapa_tdnn import BLOCK_SIZE, DILATIONS, SCALE, STEM_SIZE, SERes2NetBlock

LEAST_VARIANCE = 1e-4


class FrameAttention(nn.Cell):
    """Weights of the frames for each channel: two products with ReLU between them, then softmax over time.

    Args:
        channels: number of input and output channels.

    Inputs:
        - **x** - (B, channels, T).

    Outputs:
        (B, channels, T), float32; each channel sums to 1 over T.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear1 = Conv1d(channels, ATTENTION_CHANNELS)
        self.linear2 = Conv1d(ATTENTION_CHANNELS, channels)
        self.softmax = SoftmaxOverTime()

    def construct(self, x: Tensor) -> Tensor:
        return self.softmax(self.linear2(ops.relu(self.linear1(x))).astype(ms.float32))


class JoovvhanEcapa(nn.Cell):
    """The Ascend 310P guide's ECAPA-TDNN: frames to one embedding per utterance.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - features as the toolkit `joovvhan` makes them, without mean subtraction, (B, T, in_channels),
          T >= 9.

    Outputs:
        Embeddings, (B, emb_size), of length 1. After `return_further(["attention"])` a tuple of them and the weights
        of the frames, (B, T, 3 * channels).
    """

    @dataclass
    class Options:
        """Keys of the section `model`."""

        in_channels: int = option(80, "feature size", minimum=1)
        channels: int = option(512, "number of channels of the frame-level layers", minimum=1)
        emb_size: int = option(192, "embedding size", minimum=1)

    min_frames = 9  # the widest convolution: kernel 3, dilation 4

    @staticmethod
    def further_outputs(options: Options) -> dict[str, int]:
        """Return the further outputs that an exported model can give, (B, T, channels): number of channels by name."""
        return {"attention": 3 * options.channels}

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        channels = options.channels
        self.stem = TDNNBlock(options.in_channels, channels, STEM_SIZE, padding="zero")
        self.block1, self.block2, self.block3 = (
            SERes2NetBlock(channels, BLOCK_SIZE, dilation, "zero", SCALE * channels) for dilation in DILATIONS
        )
        self.join = Conv1d(3 * channels, 3 * channels)
        self.attention = FrameAttention(3 * channels)
        self.pool_norm = batch_norm(6 * channels)
        self.fc = Conv1d(6 * channels, options.emb_size)
        self.fc_norm = batch_norm(options.emb_size)
        self.form = building_form()
        self.returns_attention = False

    def return_further(self, names: Sequence[str]) -> None:
        """Make `construct` also return the named `further_outputs`, after the embedding, in alphabetical order."""
        self.returns_attention = "attention" in names

    def construct(self, feats: Tensor) -> Union[Tensor, tuple[Tensor, Tensor]]:
        x = self.stem(feats.swapaxes(1, 2))  # (B, C, T)
        y1 = self.block1(x)  # a block adds its input
        y2 = self.block2(y1) + x
        y3 = self.block3(y2) + (y1 + x)
        x = ops.relu(self.join(ops.cat((y1, y2, y3), axis=1)))
        weight = self.attention(x)
        # In mixed precision only the products are float16.
        pooled = weighted_statistics(x.astype(ms.float32), weight, LEAST_VARIANCE, self.form)
        embedding = unit(self.fc_norm(self.fc(self.pool_norm(pooled.squeeze(2)).expand_dims(2)).squeeze(2)))
        return (embedding, weight.swapaxes(1, 2)) if self.returns_attention else embedding
