"""The model of mean_model.py, which takes an utterance in windows."""

from dataclasses import dataclass
from typing import Any

from mindvox.config.option import option
from mindvox.frontend.frames import Windows
from tests.toys.mean_model import MeanModel


class WindowModel(MeanModel):
    """Windows of one length, as RawNet2 ("aligned") or the GE2E encoder ("padded") takes them."""

    @dataclass
    class Options(MeanModel.Options):
        """Keys of the section `model`."""

        window_frames: int = option(20, "frames of a window", minimum=3)
        last: str = option("aligned", "where the last window lies", choices=("aligned", "padded"))

    min_frames = 1

    @staticmethod
    def windows(options: Any) -> Windows:
        """Return the windows: half of one is common to two."""
        num_frames, coverage = options.window_frames, 0.8 if options.last == "padded" else 0.0
        return Windows(num_frames, num_frames // 2, options.last, coverage)
