"""The speaker encoder of GE2E (Wan, Wang, Papir, Moreno 2018, arXiv:1710.10467) as Resemblyzer has it, so that its
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

COVERAGE = 0.75  # of a last window that a recording fills, or the window is left out
EDGE_FRAMES = 2  # of the zeros behind a recording, which see its end: the front end of Resemblyzer's weights makes them


class Ge2eLstm(nn.Cell):
    """LSTM layers, of whose last state one linear layer makes the embedding.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - energies in mel filters, without a logarithm in Resemblyzer, (B, T, in_channels), T >= 1.

    Outputs:
        Embeddings, (B, emb_size), float32, none of whose values is negative, of length 1.
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
        """Return Resemblyzer's partial utterances: zeros follow the last."""
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
