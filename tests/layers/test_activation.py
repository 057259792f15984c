"""The clipped ReLU: its values, its gradient, and NaN. tests/layers/test_layers.py has tanh."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops

from mindvox.layers.activation import ClippedReLU, silu
from tests.deploy.toy import without_compiling

X = np.array([-np.inf, -3, -0.0, 0, 1e-30, 7, 19.999998, 20, 20.000002, 1e5, np.inf, np.nan], np.float32)


@pytest.mark.parametrize("repeats", [1, 40])  # kernels compute long arrays in vectors
def test_clipped_relu_ends_at_both_bounds_and_lets_nan_pass(repeats):
    x = Tensor(np.tile(X, repeats))
    expected = np.tile(np.clip(X, 0, 20), repeats)
    np.testing.assert_array_equal(ClippedReLU()(x).asnumpy(), expected)
    with without_compiling():
        np.testing.assert_array_equal(ClippedReLU()(x).asnumpy(), expected)
        half = ClippedReLU()(x.astype(ms.float16))
    assert half.dtype == ms.float16 and np.isnan(half.asnumpy()).sum() == repeats


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_gradient_of_clipped_relu_is_that_of_hardtanh(dtype):
    with np.errstate(over="ignore"):  # 1e5 is infinite in half precision
        x = X[:-1].astype(dtype)
    inside = (x > 0) & (x < 20)  # torch's Hardtanh: 0 at both bounds
    weight = Tensor(np.arange(1, len(X), dtype=dtype))
    gradient = ops.GradOperation(sens_param=True)(ClippedReLU())
    for _ in range(3):
        np.testing.assert_array_equal(gradient(Tensor(x), weight).asnumpy(), inside * weight.asnumpy())


def test_silu_is_as_exact_as_the_sigmoid():
    x = np.linspace(-20, 20, 1001, dtype=np.float32)
    with without_compiling():
        got = silu(Tensor(x)).asnumpy()
    np.testing.assert_allclose(got, x / (1 + np.exp(-x.astype(np.float64))), rtol=1e-5)
