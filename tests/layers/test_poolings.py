"""Poolings against the public code of three toolkits in double precision.

Outputs may differ by 2e-6 of the greatest value, gradients by 2e-5: single precision. Channel 5 of utterance 1 is
constant, so that eps counts.
"""

import json
from contextlib import nullcontext

import mindspore as ms
import numpy as np
import onnxruntime
import pytest
from mindspore import Tensor, nn

from mindvox.deploy.mindir_to_onnx import mindir_to_onnx
from mindvox.deploy.toolkits.speechbrain import ecapa_name
from mindvox.errors import InputError
from mindvox.layers.building import building_for
from mindvox.layers.mask import length_mask
from mindvox.registry import POOLINGS
from tests.deploy.graphs import NOT_IN_LITE, graph_of, operators
from tests.deploy.toy import relative, without_compiling
from tests.vectors import STORED, VECTORS, load_vector, weights

ATTENTIVE = {"attention_channels": 8}
CASES = {
    "3d_tap": ("tap", {}),
    "ws_tap": ("tap", {}),
    "ws_tap_4d": ("tap", {}),
    "mv_tap": ("tap", {}),
    "3d_tsdp": ("tsdp", {"eps": 1e-8}),
    "ws_tsdp": ("tsdp", {}),
    "ws_tsdp_4d": ("tsdp", {}),
    "mv_tsp": ("tsp", {}),
    "3d_statspool": ("statistics", {}),
    "3d_tstp": ("tstp", {"eps": 1e-8}),
    "mv_tstp": ("statistics", {"eps": 1e-8}),
    "ws_tstp": ("tstp", {}),
    "ws_tstp_4d": ("tstp", {}),
    "mv_sap": ("sap", ATTENTIVE),
    "ws_astp": ("astp_local", ATTENTIVE),
    "ws_astp_glob": ("astp", ATTENTIVE),
    "ws_astp_glob_4d": ("astp", ATTENTIVE),
    "3d_astp": ("astp_local", {**ATTENTIVE, "eps": 1e-10}),
    "3d_astp_glob": ("astp", {**ATTENTIVE, "eps": 1e-10}),
    "ws_mhastp": ("mhastp", ATTENTIVE),
    "mv_asp": ("asp_local", ATTENTIVE),
    "mv_asp_glob": ("asp", ATTENTIVE),
    "mv_asp_glob_lengths": ("asp", ATTENTIVE),
}
OF_NETWORKS = {"channel_asp", "channel_sap", "frame_asp", "frame_sap", "max"}  # tests/models/test_networks.py has them


class Gradient(nn.Cell):
    """A pooling's output, and the gradients of its sum with weights."""

    def __init__(self, pooling: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.pooling = pooling
        parameters = ms.ParameterTuple(pooling.trainable_params())
        self.gradient = ms.value_and_grad(self.objective, 0, parameters if parameters else None, has_aux=True)

    def objective(self, x: Tensor, weight: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.pooling(x) if mask is None else self.pooling(x, mask)
        return (pooled * weight).sum(), pooled

    def construct(self, x: Tensor, weight: Tensor, mask: Tensor = None) -> tuple:
        return self.gradient(x, weight, mask)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CASES)
def test_pooling_equals_the_toolkits(name, compiled):
    case, _ = load_vector(f"pool_{name}")
    pooling_name, keys = CASES[name]
    pooling = POOLINGS.get(pooling_name)(12, **keys)
    assert case["eval"].shape == (2, pooling.out_channels)
    state = weights.make_state(json.loads(str(case["state"])))
    names = {p.name: ecapa_name(p.name) if pooling_name.startswith("asp") else p.name for p in pooling.get_parameters()}
    assert {*names.values(), "tdnn.norm.norm.num_batches_tracked"} >= state.keys() >= set(names.values())
    for parameter in pooling.get_parameters():
        parameter.set_data(Tensor(state[names[parameter.name]].reshape(parameter.shape)))

    mask = length_mask(Tensor(case["lengths"].astype(np.float32)), 30) if "lengths" in case else None
    weight = Tensor(weights.normal("grad_weight", case["eval"].shape).astype(np.float32))
    step = Gradient(pooling).set_train(False)
    with nullcontext() if compiled else without_compiling():
        for _ in range(3 if compiled else 1):  # MindSpore 2.10 has graphs whose gradients go wrong from the second on
            (_, pooled), gradients = step(Tensor(case["x"].astype(np.float32)), weight, mask)
    assert np.abs(pooled.asnumpy() - case["eval"]).max() <= 2e-6 * np.abs(case["eval"]).max()

    of_x, of_parameters = gradients if state else (gradients, ())
    found = {"eval_grad_x": of_x}
    for parameter, gradient in zip(pooling.trainable_params(), of_parameters, strict=True):
        found[f"eval_grad/{names[parameter.name]}"] = gradient
    if name == "3d_statspool":  # the root has no slope where the deviation is 0; here it is finite
        assert np.isfinite(of_x.asnumpy()).all()
        case["eval_grad_x"][1, 5] = of_x.asnumpy()[1, 5]
    assert {key for key in case if key.startswith("eval_grad")} == found.keys()
    for key, gradient in found.items():
        expected = case[key]
        difference = np.abs(gradient.asnumpy().reshape(expected.shape) - expected).max()
        assert difference <= 2e-5 * np.abs(expected).max() + 1e-6, key  # a bias before a softmax has none but rounding


def test_every_pooling_of_the_vectors_has_a_case():
    files = {path.stem.removeprefix("pool_") for folder in (STORED, VECTORS) for path in folder.glob("pool_*.npz")}
    assert files == CASES.keys()
    assert {name for name, _ in CASES.values()} == set(POOLINGS) - OF_NETWORKS


class Several(nn.Cell):
    """The results of several poolings of the same frames, (B, T, C)."""

    def __init__(self, poolings: list[nn.Cell]) -> None:
        super().__init__()
        self.poolings = nn.CellList(poolings)

    def construct(self, feats: Tensor) -> tuple:
        x = feats.swapaxes(1, 2)
        pooled = []
        for pooling in self.poolings:
            pooled.append(pooling(x))
        return tuple(pooled)


def every_pooling(device_target: str = "CPU") -> Several:
    np.random.seed(0)
    with building_for(device_target):
        return Several([POOLINGS.get(name)(12) for name in POOLINGS]).set_train(False)


def pooled(network: Several, feats: np.ndarray) -> list[np.ndarray]:
    with without_compiling():
        return [output.asnumpy() for output in network(Tensor(feats))]


def test_forms_agree_and_maps_are_pooled_as_their_channels_and_bins():
    x = np.random.default_rng(0).standard_normal((2, 12, 9)).astype(np.float32)
    product, native = every_pooling(), every_pooling("Ascend")
    feats = np.ascontiguousarray(x.swapaxes(1, 2))
    for name, cell, a, b in zip(POOLINGS, product.poolings, pooled(product, feats), pooled(native, feats), strict=True):
        assert a.shape == (2, cell.out_channels), name
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=name)
        with without_compiling():
            of_map = cell(Tensor(x.reshape(2, 3, 4, 9))).asnumpy()
        np.testing.assert_allclose(of_map, a, rtol=1e-5, atol=1e-6, err_msg=name)


def test_statistics_of_half_precision_are_float32():
    x = (100 + np.random.default_rng(0).standard_normal((2, 12, 9))).astype(np.float16)
    for name in ("max", "statistics", "tap", "tsdp", "tsp", "tstp"):  # the attention of others has its own weights
        pooling = POOLINGS.get(name)(12)
        with without_compiling():
            half, whole = pooling(Tensor(x)), pooling(Tensor(x.astype(np.float32)))
        assert half.dtype == ms.float32
        np.testing.assert_array_equal(half.asnumpy(), whole.asnumpy(), err_msg=name)


def test_maximum_is_over_frames():
    x = np.array([[[1.0, 3.0, 2.0], [-4.0, -6.0, -5.0]]], np.float32)
    with without_compiling():
        np.testing.assert_array_equal(POOLINGS.get("max")(2)(Tensor(x)).asnumpy(), [[3.0, -4.0]])


def test_onnx_of_every_pooling_has_its_numbers_and_mindir_no_operator_that_lite_lacks(tmp_path):
    network, path = every_pooling(), tmp_path / "m.mindir"
    ms.export(network, Tensor(shape=[None, None, 12], dtype=ms.float32), file_name=str(path), file_format="MINDIR")
    assert not operators(graph_of(path)) & NOT_IN_LITE
    names = ["embedding", *(f"further_{index}" for index in range(1, len(list(POOLINGS))))]
    outputs = [
        {"name": name, "shape": [None, cell.out_channels]} for name, cell in zip(names, network.poolings, strict=True)
    ]
    model = mindir_to_onnx(path, [{"name": "feats", "shape": [None, None, 12]}], outputs, {}, min_length=2)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for size, frames in ((1, 2), (3, 21)):
        feats = np.random.default_rng(frames).standard_normal((size, frames, 12)).astype(np.float32)
        found = session.run(None, {"feats": feats})
        for name, got, expected in zip(POOLINGS, found, pooled(network, feats), strict=True):
            assert relative(got, expected) <= 5e-6, (name, frames)


@pytest.mark.parametrize("name", ["channel_sap", "frame_sap", "max", "sap", "tap", "tsp"])
def test_an_eps_that_would_do_nothing_is_refused(name):
    with pytest.raises(InputError, match=f"pooling {name}: .*eps must be 0, got 1e-07. Leave it out"):
        POOLINGS.get(name)(12, eps=1e-7)


def test_heads_that_cannot_share_the_channels_are_refused():
    with pytest.raises(InputError, match="a multiple of 2, got 13"):
        POOLINGS.get("mhastp")(13)
