"""RawNet2 (Jung, Kim, Shim, Kim, Yu 2020, arXiv:2004.00526), so that the authors' weights fit: raw waveforms go through
sinc filters (Ravanelli and Bengio 2018, arXiv:1808.00158), residual blocks and a GRU.

The authors' code has two forms. "refactored" is the paper's. The published weights need "published", whose blocks
ignore the output of their first batch norm.
"""

import math
from dataclasses import dataclass
from typing import Any, Optional

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindvox.config.option import checked, option
from mindvox.frontend.filterbank import htk_hz, htk_mel
from mindvox.frontend.frames import Windows
from mindvox.layers.building import building_form
from mindvox.layers.conv import Conv1d, Product
from mindvox.layers.norm import batch_norm
from mindvox.layers.over_time import for_each_frame, mean_over_time
from mindvox.layers.recurrent import Gru

FORMS = ("refactored", "published")
SLOPE = 0.3  # slope of leaky ReLUs below 0
POOLED = 3  # frames in each max pooling
NUM_BLOCKS = 6
SINC_SIZE = 251  # samples of a filter
SAMPLE_RATE = 16000
LEAST_HZ = 50.0  # least lower frequency of a filter, and least bandwidth
SAMPLE_EPS = 1e-6  # added to the samples' deviation
LEAST_SAMPLES = SINC_SIZE - 1 + POOLED ** (NUM_BLOCKS + 1)
OVERLAP = 0.2  # share of a window that it has in common with the next


class LeakyRelu(nn.Cell):
    """Multiply negative values by SLOPE.

    Inputs:
        - **x** - any shape.

    Outputs:
        The same shape.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slope = Tensor(SLOPE, ms.float32)  # a Python number would make the product Muls, which old Lite lacks

    def construct(self, x: Tensor) -> Tensor:
        return ops.maximum(x, x * self.slope.astype(x.dtype))


class MaxPool(nn.Cell):
    """Take the maximum of each three frames; one or two frames left at the end are dropped.

    Inputs:
        - **x** - (B, C, T).

    Outputs:
        (B, C, T // 3).
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_native = building_form() == "native"
        self.pool = ops.MaxPool(kernel_size=(1, POOLED), strides=(1, POOLED), pad_mode="valid")

    def construct(self, x: Tensor) -> Tensor:
        if self.is_native:
            return self.pool(x.expand_dims(2)).squeeze(2)
        stop = x.shape[2] // POOLED * POOLED
        return ops.maximum(ops.maximum(x[:, :, 0:stop:3], x[:, :, 1:stop:3]), x[:, :, 2:stop:3])


class SampleNorm(nn.Cell):
    """Normalise a waveform to mean 0 and unbiased deviation 1, then scale and shift each sample position.

    Args:
        num_samples: N.

    Inputs:
        - **x** - (B, N).

    Outputs:
        (B, N), float32.
    """

    def __init__(self, num_samples: int) -> None:
        super().__init__()
        self.gamma = Parameter(Tensor(np.ones(num_samples), ms.float32), name="gamma")
        self.beta = Parameter(Tensor(np.zeros(num_samples), ms.float32), name="beta")
        self.unbiased = Tensor(num_samples / (num_samples - 1), ms.float32)
        self.mean = ops.ReduceMean(keep_dims=True)

    def construct(self, x: Tensor) -> Tensor:
        x = x.astype(ms.float32)
        x = x - self.mean(x, 1)
        deviation = ops.sqrt(self.mean(ops.square(x), 1) * self.unbiased)
        return self.gamma.astype(ms.float32) * (x / (deviation + SAMPLE_EPS)) + self.beta.astype(ms.float32)


class SincConv(nn.Cell):
    """Apply band-pass filters whose two frequencies are trained, and max pooling over three absolute values.

    Three copies of each filter, shifted by 0, 1 and 2 samples, are applied in steps of three samples. So the pooling is
    a maximum over three channels.

    Args:
        channels: number of filters, C.
        num_samples: N.

    Inputs:
        - **x** - (B, N).

    Outputs:
        (B, C, (N - 250) // 3).
    """

    def __init__(self, channels: int, num_samples: int) -> None:
        super().__init__()
        self.low_hz = Parameter(Tensor(_mel_spaced(channels)[:-1, None], ms.float32), name="low_hz")
        self.band_hz = Parameter(Tensor(np.diff(_mel_spaced(channels))[:, None], ms.float32), name="band_hz")
        half = SINC_SIZE // 2
        # As in the authors' code, the step between the window's points is 124.5 / 124.
        window = 0.54 - 0.46 * np.cos(2 * np.pi * np.linspace(0, SINC_SIZE / 2 - 1, half) / SINC_SIZE)
        angle = 2 * np.pi * np.arange(-half, 0) / SAMPLE_RATE  # radians per Hz
        # sin(f n) / n is the same on both sides of the middle.
        self.angle = [Tensor(side[None], ms.float32) for side in (angle, angle[::-1])]
        self.factor = [Tensor(side[None], ms.float32) for side in (2 * window / angle, (2 * window / angle)[::-1])]
        self.least, self.most = Tensor(LEAST_HZ, ms.float32), Tensor(SAMPLE_RATE / 2, ms.float32)
        size = SINC_SIZE + POOLED - 1
        self.is_native = building_form() == "native"
        self.conv = ops.Conv2D(POOLED * channels, (1, size), stride=(1, POOLED))
        self.frames = ops.Im2Col(ksizes=(1, size), strides=(1, POOLED), dilations=(1, 1), pads=(0, 0))
        # Im2Col of dynamic sizes gives a dynamic rank (2.10), but the GRU needs a known T.
        self.shape_of_frames = (-1, size, 1, (num_samples - SINC_SIZE + 1) // POOLED)
        self.product = Product(size, POOLED * channels)
        self.split = ops.Split(1, POOLED)

    def construct(self, x: Tensor) -> Tensor:
        weight = self._shifted_filters().astype(x.dtype)
        x = x.expand_dims(1).expand_dims(1)
        if self.is_native:
            y = self.conv(x, weight.expand_dims(1).expand_dims(1)).squeeze(2)
        else:
            frames = self.frames(x).reshape(self.shape_of_frames)
            y = self.product(frames, weight.expand_dims(2).expand_dims(3)).squeeze(2)
        first, second, third = self.split(ops.abs(y))
        return ops.maximum(ops.maximum(first, second), third)

    def _shifted_filters(self) -> Tensor:
        """Return the filters (3C, 253), float32: C that begin at the first sample, C at the second, C at the third."""
        low = self.least + ops.abs(self.low_hz.astype(ms.float32))
        high = low + self.least + ops.abs(self.band_hz.astype(ms.float32))
        high = ops.minimum(ops.maximum(high, self.least), self.most)
        band = high - low
        band = band + band
        left = (ops.sin(high * self.angle[0]) - ops.sin(low * self.angle[0])) * self.factor[0]
        right = (ops.sin(high * self.angle[1]) - ops.sin(low * self.angle[1])) * self.factor[1]
        filters = ops.cat((left, band, right), axis=1) / band
        zero = ops.zeros_like(low)
        shifted = [
            ops.cat(parts, axis=1) for parts in ((filters, zero, zero), (zero, filters, zero), (zero, zero, filters))
        ]
        return ops.cat(shifted, axis=0)


class ResidualBlock(nn.Cell):
    """Two convolutions with a residual connection, max pooling over three frames, and gates that scale and shift
    channels (the paper's FMS in the form "mul-add").

    Args:
        in_channels: number of input channels.
        out_channels: number of output channels.
        normalises: True: apply batch norm and leaky ReLU before the first convolution. False: the batch norm exists,
            because the authors' files have its weights, but is not applied. None: there is no batch norm.

    Inputs:
        - **x** - (B, in_channels, T), T >= 3.

    Outputs:
        (B, out_channels, T // 3).
    """

    def __init__(self, in_channels: int, out_channels: int, normalises: Optional[bool]) -> None:
        super().__init__()
        self.form = building_form()
        self.relu = LeakyRelu()
        self.normalises = bool(normalises)
        if normalises is not None:
            self.norm1 = batch_norm(in_channels)
        self.conv1 = Conv1d(in_channels, out_channels, 3, padding="zero")
        self.norm2 = batch_norm(out_channels)
        self.conv2 = Conv1d(out_channels, out_channels, 3, padding="zero")
        self.has_shortcut = in_channels != out_channels
        if self.has_shortcut:
            self.shortcut = Conv1d(in_channels, out_channels)
        self.pool = MaxPool()
        self.gate = Conv1d(out_channels, out_channels)

    def construct(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm1(x)) if self.normalises else x
        y = self.conv2(self.relu(self.norm2(self.conv1(y))))
        if self.has_shortcut:
            x = self.shortcut(x)
        y = self.pool(y + x)
        gate = ops.sigmoid(self.gate(mean_over_time(y, self.form).astype(y.dtype)))
        gate = for_each_frame(gate, y, self.form)
        return y * gate + gate


class RawNet2(nn.Cell):
    """RawNet2: raw waveforms of one length to one embedding per utterance.

    The authors scale the embedding to length 10 before the linear classifier in training; here the objective does so.

    Args:
        keys: see `Options`.

    Inputs:
        - **feats** - waveforms, divided by their largest absolute value, (B, num_samples, 1).

    Outputs:
        Embeddings, (B, emb_size), not length-normalised.
    """

    @dataclass
    class Options:
        """Keys of the section `model`."""

        in_channels: int = option(1, "feature size: one sample", minimum=1)
        emb_size: int = option(1024, "embedding size", minimum=1)
        form: str = option(
            "refactored",
            "architecture: refactored (the paper's), or published (that of the published weights)",
            choices=FORMS,
        )
        num_samples: int = option(
            59049, "length of a waveform, samples; the only one that the model takes", minimum=LEAST_SAMPLES
        )
        channels: int = option(128, "number of sinc filters, and of channels of the first two blocks", minimum=1)
        wide_channels: int = option(256, "number of channels of the other blocks", minimum=1)
        gru_size: int = option(1024, "state size of the GRU", minimum=1)

        def problems(self) -> list[str]:
            """Return one line for each conflict between keys."""
            return [] if self.in_channels == 1 else [f"in_channels: expected 1, got {self.in_channels}."]

    min_frames = 1  # a short utterance is repeated, see `windows`

    @staticmethod
    def windows(options: Any) -> Windows:
        """Return the windows that the authors test on; adjacent windows overlap by a fifth.

        If the last window equals the one before it, the authors count it twice; here it counts once.
        """
        overlap = math.ceil(OVERLAP * options.num_samples)
        return Windows(options.num_samples, options.num_samples - overlap)

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        options = checked(self.Options(**keys))
        self.num_samples = options.num_samples
        self.norm = SampleNorm(options.num_samples)
        self.sinc = SincConv(options.channels, options.num_samples)
        self.sinc_norm = batch_norm(options.channels)
        self.relu = LeakyRelu()
        sizes = [options.channels] * 3 + [options.wide_channels] * (NUM_BLOCKS - 2)
        normalises = [None] + [options.form == "refactored"] * (NUM_BLOCKS - 1)
        self.blocks = nn.CellList(
            [ResidualBlock(sizes[index], sizes[index + 1], normalises[index]) for index in range(NUM_BLOCKS)]
        )
        self.gru_norm = batch_norm(options.wide_channels)
        self.gru = Gru(options.wide_channels, options.gru_size)
        self.linear = Conv1d(options.gru_size, options.emb_size)

    def construct(self, feats: Tensor) -> Tensor:
        if feats.shape[1] not in (-1, self.num_samples):
            raise ValueError(f"RawNet2: expected waveforms of {self.num_samples} samples, got {feats.shape[1]}.")
        x = self.norm(feats.reshape(-1, self.num_samples)).astype(feats.dtype)
        x = self.relu(self.sinc_norm(self.sinc(x)))
        for block in self.blocks:
            x = block(x)
        states = self.gru(self.relu(self.gru_norm(x)).swapaxes(1, 2))
        return self.linear(states[:, -1:].swapaxes(1, 2)).squeeze(2)


def _mel_spaced(channels: int) -> np.ndarray:
    """Return the initial edge frequencies of the filters (channels + 1,), Hz: equally spaced in mel."""
    least, most = htk_mel(30), htk_mel(SAMPLE_RATE / 2 - 2 * LEAST_HZ)
    return htk_hz(np.linspace(least, most, channels + 1))
