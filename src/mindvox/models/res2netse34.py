"""Res2NetSE34 of voxceleb_trainer, in the form that its authors intended.

The published file cannot run: its blocks use widths and scales that are set nowhere, the size of the pooling's input
ignores the blocks' expansion, the pooling's second moment is x^2 times 2 instead of x^2 times the weight, and a name is
misspelt. So there are no published weights. This version has the first layers, the strides and the poolings of
ResNetSE34V2, as that file has, and the sizes that it names: base width 26, scale 4, expansion 4, reduction 8.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from mindspore import nn

from mindvox.config.option import option
from mindvox.layers.res2_bottleneck import Res2Bottleneck
from mindvox.layers.se_resnet import REDUCTION, stages
from mindvox.layers.trunk import STRIDES
from mindvox.models.resnetse34v2 import ResNetSE34V2


class Res2NetSE34(ResNetSE34V2):
    """Res2NetSE34: frames to one embedding per utterance. ResNetSE34V2 with the bottlenecks of Res2Net.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - log mel energies, each bin with mean 0 and deviation 1, (B, T, in_channels), T >= 9.

    Outputs:
        Embeddings, (B, emb_size), not length-normalised.
    """

    @dataclass
    class Options(ResNetSE34V2.Options):
        """Keys of the section `model`."""

        base_width: int = option(
            26, "number of channels per group of a bottleneck, for each 64 channels of the stage", minimum=1
        )
        scale: int = option(4, "number of groups of a bottleneck", minimum=2)

    def _stages(self, options: Any) -> tuple[nn.CellList, int]:
        sizes = {"base_width": options.base_width, "scale": options.scale, "reduction": REDUCTION}
        first, other = (partial(Res2Bottleneck, is_first=is_first, **sizes) for is_first in (True, False))
        return stages(options.layer1_channels, options, STRIDES, other, first)
