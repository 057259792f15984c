"""Layers: shapes, values by hand, both forms of convolution, gradients on repeated execution."""

from collections.abc import Iterable

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops

from mindvox.layers.activation import tanh
from mindvox.layers.building import ANY_CPU, building_for, building_form, has_fast_cpu_convolution
from mindvox.layers.conv import Conv1d, Conv2d
from mindvox.layers.pool2d import AvgPool2d, MaxPool2d
from mindvox.layers.pooling.asp import AttentiveStatisticsPooling
from mindvox.layers.pooling.astp import Astp
from mindvox.layers.pooling.channel_attention import ChannelAsp
from mindvox.layers.pooling.frame_attention import FrameAsp
from mindvox.layers.pooling.simple import MaxPooling
from mindvox.layers.pooling.statistics import StatisticsPooling
from mindvox.layers.res2_bottleneck import Res2Bottleneck
from mindvox.layers.se import SEBlock, SEBlock2d
from mindvox.layers.se_resnet import SEBasicBlock
from mindvox.layers.tdnn import TDNNBlock
from mindvox.models.ecapa_tdnn import EcapaTdnn, Res2NetBlock, SERes2NetBlock
from tests.deploy.toy import without_compiling
from tests.gradients import input_and_weight_gradients, numeric_gradient, same_parameters

LAYERS = {
    "conv of one frame": (lambda: Conv1d(8, 6), (2, 8, 11)),
    "conv of five frames": (lambda: Conv1d(8, 6, 5), (2, 8, 11)),
    "dilated conv": (lambda: Conv1d(8, 6, 3, dilation=4), (2, 8, 11)),
    "conv with stride and zeros": (lambda: Conv1d(8, 6, 5, stride=2, bias=False, padding="zero"), (2, 8, 11)),
    "conv without padding": (lambda: Conv1d(8, 6, 3, dilation=2, padding="valid"), (2, 8, 11)),
    "grouped conv": (lambda: Conv1d(8, 4, 3, groups=4), (2, 8, 11)),
    "depthwise conv": (lambda: Conv1d(8, 8, 3, groups=8, padding="zero"), (2, 8, 11)),
    "conv 3x3": (lambda: Conv2d(8, 6, 3), (2, 8, 6, 11)),
    "conv 3x5": (lambda: Conv2d(4, 6, (3, 5)), (2, 4, 6, 7)),
    "conv 3x3 with stride": (lambda: Conv2d(8, 6, 3, stride=2, bias=False), (2, 8, 7, 11)),
    "conv 3x3 with stride over bins": (lambda: Conv2d(8, 6, 3, stride=(2, 1)), (2, 8, 8, 11)),
    "conv 1x1 with stride": (lambda: Conv2d(8, 6, stride=2), (2, 8, 8, 11)),
    "conv 7x7, stride 3, pad 1": (lambda: Conv2d(8, 6, 7, stride=3, pad=1), (2, 8, 14, 17)),
    "conv 5x7, stride 1x2, pad 2": (lambda: Conv2d(8, 6, (5, 7), stride=(1, 2), pad=2), (2, 8, 9, 13)),
    "conv 4x1 without padding": (lambda: Conv2d(8, 6, (4, 1), padding="valid"), (2, 8, 4, 11)),
    "conv 3x3 of one channel": (lambda: Conv2d(1, 12, 3, bias=False), (2, 1, 6, 11)),
    "conv 3x3 of one channel with stride": (lambda: Conv2d(1, 12, 3, stride=(2, 1)), (2, 1, 8, 11)),
    "grouped conv 3x3": (lambda: Conv2d(8, 4, 3, stride=2, dilation=2, groups=2), (2, 8, 9, 13)),
    "mirrored conv 3x3": (lambda: Conv2d(8, 6, 3, dilation=2, padding="reflect"), (2, 8, 6, 11)),
    "max pool 3x3": (lambda: MaxPool2d(3, 2), (2, 8, 7, 10)),
    "max pool 1x3": (lambda: MaxPool2d((1, 3), (1, 2)), (2, 8, 4, 11)),
    "max pool 3x3, pad 1": (lambda: MaxPool2d(3, 2, pad=1), (2, 8, 6, 11)),
    "average pool 3x3, pad 1": (lambda: AvgPool2d(3, 2, pad=1), (2, 8, 6, 11)),
    "tdnn": (lambda: TDNNBlock(8, 6, 3, 2), (2, 8, 11)),
    "squeeze-excitation": (lambda: SEBlock(8, 4), (2, 8, 11)),
    "squeeze-excitation of a map": (lambda: SEBlock2d(8, 2), (2, 8, 3, 5)),
    "res2net": (lambda: Res2NetBlock(16, 3, 2), (2, 16, 11)),
    "se-res2net": (lambda: SERes2NetBlock(16, 3, 3), (2, 16, 11)),
    "pooling": (lambda: AttentiveStatisticsPooling(8, 4), (3, 8, 11)),
    "pooling without context": (lambda: AttentiveStatisticsPooling(8, 4, False), (3, 8, 11)),
    "statistics pooling": (lambda: StatisticsPooling(8), (3, 8, 11)),
    "pooling of a map": (lambda: Astp(8, 4), (3, 2, 4, 11)),
    "pooling by one weight a frame": (lambda: FrameAsp(8), (3, 8, 11)),
    "pooling by a weight a channel": (lambda: ChannelAsp(8, 4), (3, 8, 11)),
    "residual block with se": (lambda: SEBasicBlock(8, 16, 2), (2, 8, 5, 6)),
    "res2 bottleneck": (lambda: Res2Bottleneck(8, 4, 2, True, 26, 4, reduction=8), (2, 8, 5, 6)),
    "res2 bottleneck in a stage": (lambda: Res2Bottleneck(16, 4, 1, False, 26, 4), (2, 16, 5, 6)),
    "pooling by maxima": (lambda: MaxPooling(8), (3, 2, 4, 11)),
    "ecapa": (lambda: EcapaTdnn(in_channels=8, channels=8, emb_size=4), (3, 11, 8)),
}
CONVOLUTIONS = [name for name in LAYERS if "conv" in name]
# Of convolutions that are tested alone.
BLOCKS = ("res2net", "se-res2net", "ecapa", "residual block with se", "res2 bottleneck", "res2 bottleneck in a stage")
BLOCKS += ("max pool 3x3", "max pool 1x3", "pooling by one weight a frame", "pooling by a weight a channel")
# Of a kind whose other sizes are compiled by default.
AGAIN = ("conv of one frame", "dilated conv", "conv without padding", "conv 3x5", "conv 3x3 with stride over bins")
AGAIN += ("conv 1x1 with stride", "conv 5x7, stride 1x2, pad 2", "conv 3x3 of one channel with stride")
AGAIN += ("squeeze-excitation", "pooling without context")


def blocks_slow(names: Iterable[str], others: Iterable[str] = ()) -> list:
    return [pytest.param(name, marks=pytest.mark.slow) if name in (*BLOCKS, *others) else name for name in names]


def build(name: str, device_target: str = ANY_CPU):
    np.random.seed(3)
    make, shape = LAYERS[name]
    with building_for(device_target):
        return make(), shape


# A graph takes a second to compile. Compiled here is the gradient that is executed three times; tests/test_registry.py
# compiles the native forms, of whole models.


# tests/models has the gradients of the whole model, and its graph beside PyNative.
@pytest.mark.parametrize("name", blocks_slow((name for name in LAYERS if name != "ecapa"), AGAIN))
def test_compiled_gradient_of_third_execution_equals_that_of_a_fresh_copy(name):
    """MindSpore 2.10 has an operator whose gradient goes wrong from the second execution on."""
    layer, shape = build(name)
    layer.set_train()
    fresh, _ = build(name)
    inputs = [np.random.default_rng(seed).standard_normal(shape).astype(np.float32) for seed in range(3)]
    repeated = input_and_weight_gradients(layer, inputs)
    same_parameters(layer, fresh)
    fresh.set_train()
    with without_compiling():
        once = input_and_weight_gradients(fresh, inputs[2:])
    assert sum(np.abs(value).max() > 0 for value in once) >= min(2, len(once))
    for a, b in zip(repeated, once, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(np.abs(value).max() for value in once))


@pytest.mark.parametrize("name", blocks_slow(name for name in LAYERS if name != "ecapa"))
def test_gradient_equals_difference_quotient(name):
    layer, shape = build(name)
    layer.set_train(False)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    with without_compiling():
        gradient = input_and_weight_gradients(layer, [x])[0]
        for index in np.random.default_rng(1).integers(0, shape, (3, len(shape))):
            index = tuple(index)
            assert gradient[index] == pytest.approx(numeric_gradient(layer, x, index), rel=0.03, abs=2e-3)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_gradients_of_the_frameworks_convolution_are_those_of_products(name, monkeypatch):
    """A processor without AVX-512 trains with the framework's convolution."""
    inputs = [np.random.default_rng(seed).standard_normal(LAYERS[name][1]).astype(np.float32) for seed in range(3)]
    product = build(name)[0].set_train()
    monkeypatch.setattr("mindvox.layers.building.is_limited_to_avx2", lambda: True)
    own = build(name, "CPU")[0].set_train()
    with without_compiling():
        expected = input_and_weight_gradients(product, inputs[2:])
    repeated = input_and_weight_gradients(own, inputs)
    for a, b in zip(repeated, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_gradients_in_training_are_those_of_the_framework(name):
    """In training, a product gives its input a gradient of its own making."""
    x = np.random.default_rng(0).standard_normal(LAYERS[name][1]).astype(np.float32)
    with without_compiling():
        own, framework = (
            input_and_weight_gradients(build(name)[0].set_train(in_training), [x]) for in_training in (True, False)
        )
    for a, b in zip(own, framework, strict=True):
        assert np.abs(b).max() > 0
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize("name", blocks_slow(LAYERS))
def test_native_and_product_forms_agree(name):
    product, shape = build(name)
    native, _ = build(name, "Ascend")
    x = Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    for cell in (product, native):
        cell.set_train(False)
    assert [p.shape for p in product.get_parameters()] == [p.shape for p in native.get_parameters()]
    with without_compiling():
        np.testing.assert_allclose(product(x).asnumpy(), native(x).asnumpy(), rtol=1e-4, atol=1e-5)


def test_conv_computes_known_values():
    conv = Conv1d(1, 1, 3, dilation=2)
    conv.weight.set_data(Tensor([[[[1.0, 10.0, 100.0]]]], ms.float32))
    conv.bias.set_data(Tensor([0.5], ms.float32))
    x = Tensor([[[1.0, 2.0, 3.0, 4.0]]], ms.float32)  # mirrored: 3 2 | 1 2 3 4 | 3 2
    np.testing.assert_allclose(conv(x).asnumpy(), [[[313.5, 422.5, 331.5, 242.5]]])


def test_average_pool_counts_the_zeros_at_the_edges():
    x = Tensor(np.arange(20, dtype=np.float32).reshape(1, 1, 4, 5))
    found = AvgPool2d(3, 2, pad=1)(x).asnumpy()[0, 0]
    np.testing.assert_allclose(found, np.array([[12, 27, 24], [63, 108, 81]]) / 9, rtol=1e-6)


def test_max_pool_computes_known_values():
    x = Tensor(-1 - np.arange(20, dtype=np.float32).reshape(1, 1, 4, 5))  # the greatest value is the first
    np.testing.assert_array_equal(MaxPool2d(3, 2)(x).asnumpy()[0, 0], [[-1, -3]])
    np.testing.assert_array_equal(MaxPool2d(3, 2, pad=1)(x).asnumpy()[0, 0], [[-1, -2, -4], [-6, -7, -9]])
    np.testing.assert_array_equal(MaxPool2d((1, 3), (1, 2))(x).asnumpy()[0, 0, :2], [[-1, -3], [-6, -8]])


def test_squeeze_excitation_of_a_map_computes_the_formula():
    layer, shape = build("squeeze-excitation of a map")
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    values = [*layer.block.conv1.get_parameters(), *layer.block.conv2.get_parameters()]
    inner, inner_bias, outer, outer_bias = (value.asnumpy().squeeze().astype(np.float64) for value in values)
    assert inner.shape == (4, 8)
    hidden = np.maximum(x.mean(axis=(2, 3), dtype=np.float64) @ inner.T + inner_bias, 0)
    gate = 1 / (1 + np.exp(-(hidden @ outer.T + outer_bias)))
    np.testing.assert_allclose(layer(Tensor(x)).asnumpy(), x * gate[:, :, None, None], rtol=1e-5, atol=1e-6)


def test_pooling_of_constant_frames_has_finite_gradient():
    layer, _ = build("pooling")
    layer.set_train(False)
    gradients = input_and_weight_gradients(layer, [np.ones((1, 8, 11), np.float32)])
    assert all(np.isfinite(value).all() for value in gradients)


def test_batch_of_one_gives_one_embedding():
    layer, _ = build("ecapa")
    layer.set_train(False)
    with without_compiling():
        assert layer(Tensor(np.ones((1, 11, 8), np.float32))).shape == (1, 4)


@pytest.mark.parametrize("is_limited", [True, False])
def test_only_this_machines_processor_decides_about_the_frameworks_convolution(is_limited, monkeypatch):
    monkeypatch.setattr("mindvox.layers.building.is_limited_to_avx2", lambda: is_limited)
    assert has_fast_cpu_convolution() is is_limited
    for device, is_fast in ((ANY_CPU, False), ("Ascend", False), ("CPU", is_limited)):
        with building_for(device):
            assert has_fast_cpu_convolution() is is_fast


def test_other_devices_keep_the_frameworks_gradients(monkeypatch):
    monkeypatch.setattr("mindvox.layers.building.is_limited_to_avx2", lambda: True)
    with building_for("Ascend"):
        assert isinstance(Conv2d(2, 3, 3).conv, ops.Conv2D)
    with building_for("CPU"):
        assert not isinstance(Conv2d(2, 3, 3).conv, ops.Conv2D)


def test_form_follows_the_device_and_ends_with_the_context():
    assert building_form() == "product"
    with building_for("Ascend"):
        assert building_form() == "native"
        with building_for("CPU"):
            assert building_form() == "product"
    assert building_form() == "product"


@pytest.mark.parametrize("device_target", ["CPU", pytest.param("Ascend", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name",
    ["conv 3x3", "conv 3x3 with stride over bins", "conv with stride and zeros", "grouped conv", "max pool 3x3, pad 1"],
)
def test_one_graph_serves_every_length(name, device_target):
    layer, shape = build(name, device_target)
    layer.set_inputs(Tensor(shape=[None, *shape[1:-1], None], dtype=ms.float32))
    fixed, _ = build(name, device_target)
    for length in (9, 14):
        x = Tensor(np.random.default_rng(length).standard_normal((3, *shape[1:-1], length)).astype(np.float32))
        found = layer(x).asnumpy()
        with without_compiling():
            np.testing.assert_allclose(found, fixed(x).asnumpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Conv1d(2, 2, 4),
        lambda: Conv1d(2, 2, 0),
        lambda: Conv1d(2, 2, padding="same"),
        lambda: Conv1d(2, 2, 3, padding="valid", pad=1),
        lambda: Conv2d(2, 3, 3, groups=2),
        lambda: Res2NetBlock(12, 3, 1),
        lambda: SEBlock2d(8, 16),
        lambda: MaxPool2d(3, 2, pad=2),
        lambda: Res2Bottleneck(16, 4, 1, False, 26, 1),
        lambda: Res2Bottleneck(8, 4, 1, False, 26, 4),
    ],
)
def test_impossible_options_are_refused(make):
    with pytest.raises(ValueError, match="must"):
        make()


def test_tanh_is_exact_to_float32():
    x = np.linspace(-9, 9, 10001, dtype=np.float32)
    np.testing.assert_allclose(tanh(Tensor(x)).asnumpy(), np.tanh(x.astype(np.float64)), atol=2e-6)
