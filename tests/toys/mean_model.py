"""A model of one file: two layers over frames, a mean, a projection."""

from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.layers.building import building_form
from mindvox.layers.conv import Conv1d
from mindvox.layers.over_time import mean_over_time
from mindvox.layers.tdnn import batch_norm


class MeanModel(nn.Cell):
    """Frames to the mean of what two layers make of them."""

    @dataclass
    class Options:
        """Keys of the section `model`."""

        in_channels: int = option(80, "size of a feature frame", minimum=1)
        width: int = option(12, "channels between the layers", minimum=1)
        emb_size: int = option(6, "embedding size", minimum=1)

    min_frames = 3

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        self.form = building_form()
        self.layer1 = Conv1d(options.in_channels, options.width, 3, padding="zero")
        self.norm = batch_norm(options.width)
        self.layer2 = Conv1d(options.width, options.emb_size)

    def construct(self, feats: Tensor) -> Tensor:
        x = self.norm(ops.relu(self.layer1(feats.swapaxes(1, 2))))
        return mean_over_time(self.layer2(x), self.form).squeeze(2)
