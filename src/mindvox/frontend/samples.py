"""Raw samples, for models that take waveforms."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from mindvox.config.option import option
from mindvox.frontend.front_end import FrontEnd

if TYPE_CHECKING:
    from mindspore import nn


class Samples(FrontEnd):
    """Treats each sample as a frame of size 1, so that raw waveforms can take the place of features.

    Args:
        dtype: no effect: nothing is transformed.
        settings: see `Options`. The defaults are RawNet2's.
    """

    @dataclass
    class Options:
        """Keys of the section `front_end`."""

        sample_rate: int = option(16000, "sample rate of the waveforms, Hz", minimum=1)
        peak: bool = option(True, "divide the samples that the model takes by their largest absolute value")

    name = "samples"
    size_option = None

    def __init__(self, dtype: type = np.float64, **settings: Any) -> None:
        super().__init__(dtype, **settings)
        self.normalisation = "peak" if self.options.peak else "none"

    @property
    def size(self) -> int:
        return 1

    @property
    def frame_shift_s(self) -> float:
        return 1 / self.sample_rate

    def num_frames(self, num_samples: int) -> int:
        return num_samples

    def num_samples(self, num_frames: int) -> int:
        return max(1, num_frames)

    def __call__(self, waveform: np.ndarray, rng: Optional[np.random.Generator] = None) -> np.ndarray:
        return self.check_waveform(waveform).astype(np.float32)[:, None]

    def cell(self, form: str = "product") -> "nn.Cell":
        from mindvox.frontend.samples_cell import SamplesCell  # imports MindSpore

        return SamplesCell()
