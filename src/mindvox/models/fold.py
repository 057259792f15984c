"""Fold the batch norms of ECAPA-TDNN into its convolutions, for evaluation and deployment.

Batch norm follows ReLU here: y = a relu(z) + b for each channel. Because relu(|a| z) = |a| relu(z), the convolution
before the ReLU can take the factor |a|, exactly. The sign of a and the shift b remain. A convolution after the batch
norm can take both: reflected edges repeat values, so the shift is the same there. Before a sum or a product, sign and
shift remain as one small operation; the sign is left out if it is positive for all channels.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

import numpy as np

from mindvox.errors import InputError
from mindvox.layers.norm import EPS
from mindvox.layers.pooling.asp import ATTENTION_CHANNELS
from mindvox.layers.se import BOTTLENECK
from mindvox.models.ecapa_tdnn import BLOCK_SIZE, DILATIONS, SCALE, STEM_SIZE, EcapaTdnn


class Conv(NamedTuple):
    """Weight (out, in, k) and bias (out,)."""

    weight: np.ndarray
    bias: np.ndarray


class Affine(NamedTuple):
    """The remainder of a batch norm: sign * x + shift, each (channels,)."""

    sign: np.ndarray
    shift: np.ndarray


class FoldedSERes2(NamedTuple):
    """SE-Res2Net block: y = sign * (relu(tdnn2) + shift) before squeeze-excitation.

    Attributes:
        tdnn1, tdnn2: 1x1 convolutions, each followed by ReLU.
        res2: the convolutions of the second and later splits, each followed by ReLU.
        mix: for the third and each later split, the signs (width,) of the previous split's output before it is added.
        shift: (channels,), added after tdnn2's ReLU.
        squeeze, excite: products of the squeeze-excitation, over the mean after the shift.
        gate_sign: (channels,), signs of the gate.
    """

    tdnn1: Conv
    res2: list[Conv]
    mix: list[np.ndarray]
    tdnn2: Conv
    shift: np.ndarray
    squeeze: Conv
    excite: Conv
    gate_sign: np.ndarray


class FoldedEcapa(NamedTuple):
    """ECAPA-TDNN without batch norms, float32.

    Attributes:
        stem: first convolution, followed by ReLU.
        stem_affine: signs and shifts after the stem.
        blocks: the SE-Res2Net blocks.
        mfa: multi-layer aggregation, followed by ReLU only.
        attention: first product of the attention over frames, followed by ReLU.
        context: columns of that product over [mean; deviation]; None without global context.
        attention_scale, attention_shift: (hidden,), applied before tanh.
        attention_out: second product, without bias: softmax over frames would cancel it.
        fc: product over [weighted mean; weighted deviation].
    """

    stem: Conv
    stem_affine: Affine
    blocks: list[FoldedSERes2]
    mfa: Conv
    attention: Conv
    context: Optional[np.ndarray]
    attention_scale: np.ndarray
    attention_shift: np.ndarray
    attention_out: np.ndarray
    fc: Conv


def fold_ecapa(arrays: Mapping[str, np.ndarray], options: EcapaTdnn.Options) -> FoldedEcapa:
    """Fold the batch norms of a trained model in double precision; the result is float32.

    Args:
        arrays: the checkpoint's arrays, named "model.*".
        options: `EcapaTdnn.Options` of the model.

    Raises:
        InputError: an array is missing, surplus, or its shape does not match the options.
    """
    source = _Source(arrays)
    width, channels = options.channels, 3 * options.channels
    stem, stem_affine = source.tdnn("blocks.0", options.in_channels, width, STEM_SIZE)
    blocks = [_fold_block(source, f"blocks.{index}", width) for index in range(1, 1 + len(DILATIONS))]
    mfa, mfa_affine = source.tdnn("mfa", channels, channels)

    seen = 3 * channels if options.global_context else channels
    hidden = source.conv("asp.tdnn.conv", seen, ATTENTION_CHANNELS)
    scale, shift = source.norm("asp.tdnn.norm", ATTENTION_CHANNELS)
    frames = Conv(hidden.weight[:, :channels], hidden.bias)
    context = None
    if options.global_context:
        # Sign and shift change the mean as they change a frame, but not the deviation.
        mean, deviation = hidden.weight[:, channels : 2 * channels], hidden.weight[:, 2 * channels :]
        context = np.concatenate((mean * mfa_affine.sign[:, None], deviation), axis=1)
        frames = Conv(frames.weight, frames.bias + mean[..., 0] @ mfa_affine.shift)

    fc = source.conv("fc", 2 * channels, options.emb_size)
    asp_scale, asp_shift = source.norm("asp_bn", 2 * channels)
    pooled_sign = np.concatenate((mfa_affine.sign, np.ones(channels)))
    pooled_shift = np.concatenate((mfa_affine.shift, np.zeros(channels)))
    folded = FoldedEcapa(
        stem=stem,
        stem_affine=stem_affine,
        blocks=blocks,
        mfa=mfa,
        attention=_take_affine(frames, mfa_affine),
        context=context,
        attention_scale=scale,
        attention_shift=shift,
        attention_out=source.conv("asp.conv", ATTENTION_CHANNELS, channels).weight,
        fc=_take_affine(fc, Affine(asp_scale * pooled_sign, asp_scale * pooled_shift + asp_shift)),
    )
    source.check_all_taken()
    return _to_float32(folded)


def _fold_block(source: "_Source", name: str, channels: int) -> FoldedSERes2:
    width = channels // SCALE
    tdnn1, affine = source.tdnn(f"{name}.tdnn1", channels, channels)
    signs, shifts = np.split(affine.sign, SCALE), np.split(affine.shift, SCALE)
    res2, mix, joined = [], [], [Affine(signs[0], shifts[0])]
    for index in range(1, SCALE):
        conv, affine = source.tdnn(f"{name}.res2net_block.blocks.{index - 1}", width, width, BLOCK_SIZE)
        shift = shifts[index]
        if index > 1:
            # s r + b + s' q + b' = s (r + s s' q) + (b + b'), with r the split and q the previous split's output.
            mix.append(signs[index] * joined[-1].sign)
            shift = shift + joined[-1].shift
        res2.append(_take_affine(conv, Affine(signs[index], shift)))
        joined.append(affine)
    tdnn2, affine = source.tdnn(f"{name}.tdnn2", channels, channels)
    squeeze = source.conv(f"{name}.se_block.conv1", channels, BOTTLENECK)
    return FoldedSERes2(
        tdnn1=tdnn1,
        res2=res2,
        mix=mix,
        tdnn2=_take_affine(tdnn2, Affine(*(np.concatenate(parts) for parts in zip(*joined, strict=True)))),
        shift=affine.sign * affine.shift,  # s r + b = s (r + s b)
        squeeze=_take_affine(squeeze, Affine(affine.sign, np.zeros_like(affine.shift))),
        excite=source.conv(f"{name}.se_block.conv2", BOTTLENECK, channels),
        gate_sign=affine.sign,
    )


def _take_affine(conv: Conv, affine: Affine) -> Conv:
    """Return the convolution of x that equals `conv` of sign * x + shift."""
    return Conv(conv.weight * affine.sign[:, None], conv.bias + conv.weight.sum(axis=2) @ affine.shift)


class _Source:
    """A checkpoint's arrays by layer, float64; checks that each exists, has the expected shape, and is used."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = arrays
        self._left = {name for name in arrays if name.startswith("model.")}

    def conv(self, name: str, in_channels: int, out_channels: int, kernel_size: int = 1) -> Conv:
        weight = self._get(f"{name}.weight", (out_channels, in_channels, 1, kernel_size))
        return Conv(weight.squeeze(2), self._get(f"{name}.bias", (out_channels,)))

    def norm(self, name: str, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scale and shift of a batch norm in evaluation."""
        gamma, beta, mean, variance = (
            self._get(f"{name}.{part}", (channels,)) for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale = gamma / np.sqrt(variance + EPS)
        return scale, beta - scale * mean

    def tdnn(self, name: str, in_channels: int, out_channels: int, kernel_size: int = 1) -> tuple[Conv, Affine]:
        """Return a convolution multiplied by its batch norm's absolute scale, and the remainder of the norm."""
        conv = self.conv(f"{name}.conv", in_channels, out_channels, kernel_size)
        scale, shift = self.norm(f"{name}.norm", out_channels)
        size = np.abs(scale)
        return Conv(conv.weight * size[:, None, None], conv.bias * size), Affine(np.where(scale < 0, -1.0, 1.0), shift)

    def check_all_taken(self) -> None:
        """Raise InputError if an array was not used."""
        if self._left:
            raise _misfit(f"{min(self._left)} is not in the model")

    def _get(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        name = f"model.{name}"
        if name not in self._arrays:
            raise _misfit(f"{name} is missing")
        if self._arrays[name].shape != shape:
            raise _misfit(f"{name} is {self._arrays[name].shape}, expected {shape}")
        self._left.discard(name)
        return self._arrays[name].astype(np.float64)


def _misfit(problem: str) -> InputError:
    return InputError(f"the weights do not fit the model: {problem}.")


def _to_float32(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.astype(np.float32)
    if value is None:
        return None
    parts = [_to_float32(part) for part in value]
    return type(value)(*parts) if hasattr(value, "_fields") else parts
