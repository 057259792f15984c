"""VGGVox40, voxceleb_trainer's "VGG-M-40" (Nagrani et al. 2017, arXiv:1706.08612, on 40 mel bins; Chung et al. 2020,
arXiv:2003.11982), so that its weights fit.
"""

from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.layers.conv import Conv1d, Conv2d
from mindvox.layers.norm import batch_norm_2d
from mindvox.layers.pool2d import MaxPool2d
from mindvox.layers.pooling import create_pooling, min_pooled_frames
from mindvox.registry import POOLINGS

CHANNELS = (1, 96, 256, 384, 256, 256, 512)
# Three layers have a stride of 2 over frequency, and five over time; each reduces 2n + 1 bins or frames to n.
BIN_STRIDE, FRAME_STRIDE = 2**3, 2**5
FEWEST_BINS = 2 * BIN_STRIDE - 1  # with fewer, no row is left for the last convolution


class VGGVox40(nn.Cell):
    """VGGVox40: frames to one embedding per utterance. Its last convolution covers all frequencies.

    The kernel of that convolution has as many rows as are left there: 4 with voxceleb_trainer's 40 bins.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - log mel energies, each bin with mean 0 and deviation 1, (B, T, in_channels), T >=
          `min_frames(options)`: 63, or 95 if the pooling has an unbiased variance.

    Outputs:
        Embeddings, (B, emb_size), not length-normalised.
    """

    @dataclass
    class Options:
        """Keys of the section `model`."""

        in_channels: int = option(40, "feature size", minimum=FEWEST_BINS)
        emb_size: int = option(512, "embedding size", minimum=1)
        pooling: str = option(
            "frame_sap", "pooling over time; voxceleb_trainer has frame_sap, tap, max", choices=tuple(POOLINGS)
        )
        pooling_eps: float = option(
            0.0, "constant added to variances in the pooling; 0: the pooling's default", minimum=0
        )

    @staticmethod
    def min_frames(options: Options) -> int:
        """Return the fewest frames of an utterance that leave enough frames for the pooling."""
        return FRAME_STRIDE * (min_pooled_frames(options.pooling) + 1) - 1

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        num_rows = (options.in_channels + 1) // BIN_STRIDE - 1
        shapes: list[dict[str, Any]] = [
            {"kernel_size": (5, 7), "stride": (1, 2), "pad": 2},
            {"kernel_size": 5, "stride": 2, "pad": 1},
            *({"kernel_size": 3} for _ in range(3)),
            {"kernel_size": (num_rows, 1), "padding": "valid"},
        ]
        sizes = zip(CHANNELS[:-1], CHANNELS[1:], shapes, strict=True)
        self.convs = nn.CellList([Conv2d(inner, outer, **shape) for inner, outer, shape in sizes])
        self.norms = nn.CellList([batch_norm_2d(channels) for channels in CHANNELS[1:]])
        none = nn.Identity()
        self.max_pools = nn.CellList([MaxPool2d((1, 3), (1, 2)), MaxPool2d(3, 2), none, none, MaxPool2d(3, 2), none])
        self.pool = create_pooling(options.pooling, CHANNELS[-1], options.pooling_eps)
        self.fc = Conv1d(self.pool.out_channels, options.emb_size)

    def construct(self, feats: Tensor) -> Tensor:
        x = feats.swapaxes(1, 2).expand_dims(1)  # (B, 1, F, T)
        for index in range(len(self.convs)):
            x = self.max_pools[index](ops.relu(self.norms[index](self.convs[index](x))))
        return self.fc(self.pool(x).expand_dims(2)).squeeze(2)  # x: (B, 512, 1, T')
