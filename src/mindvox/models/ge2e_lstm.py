"""The speaker encoder of GE2E (Wan, Wang, Papir, Moreno 2018, arXiv:1710.10467) as Resemblyzer builds it, so that its
weights fit: LSTM layers without the paper's projections, and a ReLU before the length is normalised.
"""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.frontend.frames import Windows
from mindvox.layers.conv import Conv1d
from mindvox.layers.recurrent import Lstm
from mindvox.layers.unit_length import unit

COVERAGE = 0.75  # share of the last window that a recording must fill; otherwise the window is left out
EDGE_FRAMES = 2  # frames of the zeros that Resemblyzer's front end appends to a recording; they still see its end


class Ge2eLstm(nn.Cell):
    """LSTM layers, then a linear layer that turns the last state into the embedding.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - mel filterbank energies, in Resemblyzer without logarithm, (B, T, in_channels), T >= 1.

    Outputs:
        Embeddings, (B, emb_size), float32, of length 1, with values >= 0.
    """

    @dataclass
    class Options:
        """Keys of the section `model`."""

        in_channels: int = option(40, "feature size", minimum=1)
        emb_size: int = option(256, "embedding size", minimum=1)
        hidden_size: int = option(256, "state size of an LSTM layer", minimum=1)
        num_layers: int = option(3, "number of LSTM layers", minimum=1)
        window_frames: int = option(160, "length of the windows in which recordings are embedded, frames", minimum=8)
        window_step: int = option(77, "distance between two windows, frames", minimum=1)

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            if self.window_step <= self.window_frames:
                return []
            return [f"window_step: expected at most window_frames, {self.window_frames}, got {self.window_step}."]

    min_frames = 1

    @staticmethod
    def windows(options: Any) -> Windows:
        """Return Resemblyzer's partial utterances: the last one is padded with zeros."""
        num_frames = options.window_frames
        return Windows(num_frames, options.window_step, "padded", (COVERAGE * num_frames + EDGE_FRAMES) / num_frames)

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        sizes = [options.in_channels] + [options.hidden_size] * options.num_layers
        self.layers = nn.CellList([Lstm(*pair) for pair in zip(sizes[:-1], sizes[1:], strict=True)])
        self.linear = Conv1d(options.hidden_size, options.emb_size)

    def construct(self, feats: Tensor) -> Tensor:
        x = feats
        for layer in self.layers:
            x = layer(x)  # (B, T, hidden_size)
        return unit(ops.relu(self.linear(x[:, -1].expand_dims(2)).squeeze(2)).astype(ms.float32))
