"""Res2NetSE34 of voxceleb_trainer, in the form that its authors intended.

The published file cannot run: its blocks use widths and scales that are set nowhere, the size of the pooling's input
does not count the blocks' expansion, the pooling's second moment is x^2 times 2 where the weight was meant, and a name
is misspelt. So there are no weights. What was chosen: the front, the strides and the poolings of ResNetSE34V2, which
the file has too, and the sizes that it names: base width 26, scale 4, expansion 4, reduction 8.
"""

from dataclasses import dataclass
from typing import Any

from mindspore import nn

from mindvox.config.option import option
from mindvox.layers.res2_bottleneck import EXPANSION, Res2Bottleneck
from mindvox.layers.se_resnet import REDUCTION
from mindvox.models.resnetse34v2 import STRIDES, ResNetSE34V2


class Res2NetSE34(ResNetSE34V2):
    """Res2NetSE34: frames to one embedding an utterance. ResNetSE34V2 with the bottlenecks of Res2Net.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - log mel energies, each bin with mean 0 and deviation 1, (B, T, in_channels), T >= 9.

    Outputs:
        Embeddings, (B, emb_size), not normalised in length.
    """

    @dataclass
    class Options(ResNetSE34V2.Options):
        """Keys of the section `model`."""

        base_width: int = option(26, "channels of a group in a bottleneck, of 64 channels of the stage", minimum=1)
        scale: int = option(4, "groups of a bottleneck", minimum=2)

    def _stages(self, options: Any) -> tuple[nn.CellList, int]:
        built, in_channels = nn.CellList(), options.layer1_channels
        sizes = {"base_width": options.base_width, "scale": options.scale, "reduction": REDUCTION}
        for (channels, num_blocks), stride in zip(options.stages(), STRIDES, strict=True):
            blocks = [Res2Bottleneck(in_channels, channels, stride, True, **sizes)]
            in_channels = EXPANSION * channels
            blocks += [Res2Bottleneck(in_channels, channels, 1, False, **sizes) for _ in range(num_blocks - 1)]
            built.append(nn.SequentialCell(blocks))
        return built, in_channels
