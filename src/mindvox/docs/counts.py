"""Parameters and multiply-adds of a network, counted by building and running it."""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from mindvox.layers.conv import Conv2d
from mindvox.models import create_model
from mindvox.models.campplus import MaskedConv
from mindvox.models.rawnet2 import POOLED, SINC_SIZE, SincConv

Further = Callable[[nn.Cell, tuple, Tensor], int]


class Counts(NamedTuple):
    """Parameter and multiply-add counts of a network.

    Attributes:
        parameters: number of trained parameters, without those of the objective.
        multiply_adds: of its convolutions, products with weights and recurrent layers, for one utterance.
        emb_size: actual embedding size.
    """

    parameters: int
    multiply_adds: int
    emb_size: int


def count(settings: Mapping[str, Any], num_frames: int) -> Counts:
    """Build the network of a section `model`, run it once and count.

    As in the literature, a weight counts once for each frame to which it is applied, even where our layers save work: a
    context shared by all frames is multiplied only once here, and CAM++'s mask is computed once per segment.

    Args:
        settings: "name" and keys of the model.
        num_frames: number of frames of the utterance.
    """
    model = create_model(settings).set_train(False)
    total = [0]
    with ExitStack() as hooks:
        hooks.callback(ms.set_context, mode=ms.get_context("mode"))
        ms.set_context(mode=ms.PYNATIVE_MODE)
        for _, cell in model.cells_and_names():
            if weights := _weights(cell):
                handle = cell.register_forward_hook(_adder(total, weights, isinstance(cell, Conv2d)))
                hooks.callback(handle.remove)
            if type(cell) in FURTHER:
                hooks.callback(cell.register_forward_hook(_further(total, FURTHER[type(cell)])).remove)
        embedding = model(Tensor(np.zeros((1, num_frames, settings["in_channels"]), np.float32)))
    parameters = sum(parameter.size for parameter in model.trainable_params())
    return Counts(parameters, total[0], embedding.shape[1])


def _weights(cell: nn.Cell) -> list[Parameter]:
    """Return the cell's own parameters that are factors of products."""
    own = cell.parameters_and_names(expand=False)
    return [parameter for _, parameter in own if parameter.ndim >= 2 and "weight" in parameter.name.split(".")[-1]]


def _adder(total: list[int], weights: list[Parameter], is_convolution: bool) -> Any:
    def add(cell: nn.Cell, inputs: tuple, output: Any) -> None:
        result = output[0] if isinstance(output, tuple) else output
        # Each weight is applied at every position of the output: of maps (B, C, F, T) and frames (B, C, T), or, where
        # channels are last, of vectors and states (B, T, C).
        channels = result.shape[1] if is_convolution else result.shape[-1]
        total[0] += math.prod(result.shape) // channels * sum(weight.size for weight in weights)

    return add


def _further(total: list[int], number: Further) -> Any:
    def add(cell: nn.Cell, inputs: tuple, output: Any) -> None:
        total[0] += number(cell, inputs, output)

    return add


def _masks_of_all_frames(cell: nn.Cell, inputs: tuple, output: Tensor) -> int:
    num_segments, num_frames = inputs[1].shape
    return (num_frames - num_segments) * (cell.linear1.weight.size + cell.linear2.weight.size)


def _filters_of_waveforms(cell: nn.Cell, inputs: tuple, output: Tensor) -> int:
    return math.prod(output.shape) * POOLED * SINC_SIZE


FURTHER: dict[type, Further] = {MaskedConv: _masks_of_all_frames, SincConv: _filters_of_waveforms}
"""Multiply-adds that cannot be derived from a cell's parameters and its output."""
