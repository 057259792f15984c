"""SimAM, an attention over bins and frames without weights (Yang et al. 2021, ICML, "SimAM: A Simple, Parameter-Free
Attention Module for Convolutional Neural Networks"; in speaker verification Qin et al. 2022, arXiv:2110.06534)."""

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvox.layers.building import building_form
from mindvox.layers.over_time import count_frames, for_each_frame, mean_over_time, sum_over_time

LAMBDA = 1e-4


class SimAM(nn.Cell):
    """Scale each value by a gate that grows with its distance from the mean of its map.

    The gate is sigmoid(d / (4 (v + lambda)) + 1/2), where d is the squared distance of the value from the map's mean,
    and v the unbiased variance of the map. The sigmoid's argument is the inverse of the paper's minimal energy (eq. 5).

    Inputs:
        - **x** - (B, C, F, T), F * T > 1.

    Outputs:
        (B, C, F, T).
    """

    def __init__(self) -> None:
        super().__init__()
        self.form = building_form()

    def construct(self, x: Tensor) -> Tensor:
        values = x.reshape(x.shape[0], x.shape[1], -1).astype(ms.float32)  # float32 in mixed precision too
        centred = values - for_each_frame(mean_over_time(values, self.form), values, self.form)
        distance = centred * centred
        variance = sum_over_time(distance, self.form) / (count_frames(values, self.form) - 1)
        twice = variance + variance + 2 * LAMBDA
        gate = ops.sigmoid(distance / for_each_frame(twice + twice, values, self.form) + 0.5)
        return x * gate.reshape(x.shape).astype(x.dtype)
