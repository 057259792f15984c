"""Poolings against the public code of three toolkits in double precision.

Outputs may differ by 2e-6 of the greatest value, gradients by 2e-5: single precision. Channel 5 of utterance 1 is
constant, so that eps counts.
"""

import json

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindvox.deploy.toolkits.speechbrain import ecapa_name
from mindvox.layers.mask import length_mask
from mindvox.registry import POOLINGS
from tests.vectors import load_vector, weights

ATTENTIVE = {"attention_channels": 8}
CASES = {
    "3d_statspool": ("statistics", {}),
    "3d_tstp": ("statistics", {"eps": 1e-8}),
    "ws_tstp": ("statistics", {"eps": 1e-7}),
    "ws_tstp_4d": ("statistics", {"eps": 1e-7}),
    "ws_astp": ("astp", {**ATTENTIVE, "global_context": False}),
    "ws_astp_glob": ("astp", ATTENTIVE),
    "ws_astp_glob_4d": ("astp", ATTENTIVE),
    "3d_astp_glob": ("astp", {**ATTENTIVE, "eps": 1e-10}),
    "mv_asp": ("asp", {**ATTENTIVE, "global_context": False}),
    "mv_asp_glob": ("asp", ATTENTIVE),
    "mv_asp_glob_lengths": ("asp", ATTENTIVE),
}


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


@pytest.mark.parametrize("name", CASES)
def test_pooling_equals_the_toolkits(name):
    case, _ = load_vector(f"pool_{name}")
    pooling_name, keys = CASES[name]
    pooling = POOLINGS.get(pooling_name)(12, **keys)
    assert pooling.out_channels == 24
    state = weights.make_state(json.loads(str(case["state"])))
    names = {p.name: ecapa_name(p.name) if pooling_name == "asp" else p.name for p in pooling.get_parameters()}
    assert {*names.values(), "tdnn.norm.norm.num_batches_tracked"} >= state.keys() >= set(names.values())
    for parameter in pooling.get_parameters():
        parameter.set_data(Tensor(state[names[parameter.name]].reshape(parameter.shape)))

    mask = length_mask(Tensor(case["lengths"].astype(np.float32)), 30) if "lengths" in case else None
    weight = Tensor(weights.normal("grad_weight", (2, 24)).astype(np.float32))
    step = Gradient(pooling).set_train(False)
    for _ in range(3):  # MindSpore 2.10 has gradients that go wrong from the second execution on
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
