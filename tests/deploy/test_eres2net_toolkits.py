"""ERes2Net, ERes2NetV2, Res2Net and x-vectors as 3D-Speaker and mvector keep them: names, sizes, front ends.

What they compute: tests/models/test_networks.py.
"""

from typing import Any

import numpy as np
import pytest

from mindvox.deploy.import_weights import build, torch_shapes
from mindvox.deploy.toolkits.eres2net import ERES2NET, ERES2NETV2, RES2NET
from mindvox.deploy.toolkits.threed_speaker import XVECTOR
from mindvox.errors import InputError, UsageError
from mindvox.models import create_model
from mindvox.registry import TOOLKITS

TSTP = {"pooling": "tstp", "pooling_eps": 1e-8}
RES2 = {"in_channels": 16, "emb_size": 6, "m_channels": 8, "layer1_blocks": 1, "layer2_blocks": 2, "layer3_blocks": 1}
RES2 |= {"layer4_blocks": 1, "base_width": 13, "scale": 3, "expansion": 1, "two_emb_layer": False, **TSTP}
X = {"name": "xvector", "in_channels": 9, "emb_size": 6, "channels": 5, "pooled_channels": 7, **TSTP}
CASES = [
    ("3dspeaker", ERES2NET, {"name": "eres2net", **RES2}),
    ("3dspeaker", ERES2NETV2, {"name": "eres2netv2", **RES2, "two_emb_layer": True}),
    ("3dspeaker", ERES2NETV2, {"name": "eres2netv2", **RES2, "pooling": "astp_local", "pooling_eps": 1e-10}),
    ("3dspeaker", RES2NET, {"name": "res2net_3dspeaker", **RES2}),
    ("3dspeaker", RES2NET, {"name": "res2net_3dspeaker", **RES2, "pooling": "astp", "pooling_eps": 1e-10}),
    ("3dspeaker", XVECTOR, X),
    ("3dspeaker", XVECTOR, {**X, "pooling": "astp_local", "pooling_eps": 1e-10}),
    ("mvector", ERES2NET, {"name": "eres2net", **RES2, "two_emb_layer": True}),
    ("mvector", ERES2NETV2, {"name": "eres2netv2", **RES2}),
]


def state_of(architecture, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return weights under the toolkits' names and in torch's shapes."""
    rng = np.random.default_rng(0)
    named = ((architecture.name(parameter.name), parameter) for parameter in create_model(settings).get_parameters())
    return {
        name: rng.uniform(0.5, 1.5, torch_shapes(parameter.shape)[-1 if "seg_" in name else 0]).astype(np.float32)
        for name, parameter in named
        if name is not None
    }


@pytest.mark.parametrize(("toolkit", "architecture", "settings"), CASES)
def test_model_is_found_by_its_names_and_its_sizes_by_their_shapes(toolkit, architecture, settings):
    state = state_of(architecture, settings)
    assert TOOLKITS.get(toolkit).architecture_of(state, "x") is architecture
    got, model = build(toolkit, state, "x")
    assert got == settings
    for parameter in model.get_parameters():
        name = architecture.name(parameter.name)
        if name is None:
            assert np.all(parameter.asnumpy() == (1 if parameter.name.endswith("gamma") else 0))
        else:
            np.testing.assert_array_equal(parameter.asnumpy().ravel(), state[name].ravel(), err_msg=name)
    front_end = TOOLKITS.get(toolkit).front_end(got)
    assert (front_end["n_mels"], front_end["window"]) == (settings["in_channels"], "povey")


@pytest.mark.parametrize(("pooling", "eps"), [("tap", 0.0), ("tsdp", 1e-8)])
@pytest.mark.parametrize(
    ("architecture", "settings"), [(XVECTOR, X), (RES2NET, {"name": "res2net_3dspeaker", **RES2, "in_channels": 8})]
)
def test_pooling_of_one_number_a_channel_has_to_be_told(architecture, settings, pooling, eps):
    settings = {**settings, "pooling": pooling, "pooling_eps": eps}
    state = state_of(architecture, settings)
    assert build("3dspeaker", state, "x", {"pooling": pooling})[0] == settings
    with pytest.raises(UsageError, match="--model.pooling: x does not tell it: expected tap or tsdp; it was not given"):
        build("3dspeaker", state, "x")


@pytest.mark.parametrize(
    ("architecture", "settings", "name", "shape"),
    [
        (ERES2NET, CASES[0][2], "seg_1.weight", (6, 7 * 64 + 1)),
        (ERES2NET, CASES[0][2], "layer4.0.conv3.weight", (63, 39, 1, 1)),
        (ERES2NETV2, CASES[2][2], "pool.linear1.weight", (128, 65, 1)),
        (RES2NET, CASES[3][2], "layer4.0.conv1.weight", (40, 32, 1, 1)),
        (XVECTOR, X, "frame_5.conv_1d.weight", (7, 6, 1)),
        (XVECTOR, X, "seg_1.weight", (6, 21)),
    ],
)
def test_sizes_that_do_not_fit_are_refused_before_building(architecture, settings, name, shape, monkeypatch):
    state = state_of(architecture, settings)
    monkeypatch.setattr("mindvox.models.create_model", None)
    with pytest.raises(InputError, match=f"x: not 3dspeaker's {architecture.title}: the sizes of its layers do not"):
        build("3dspeaker", {**state, name: np.zeros(shape, np.float32)}, "x")


def test_what_is_missing_is_named():
    state = state_of(ERES2NET, CASES[0][2])
    del state["fuse_mode123.local_att.3.bias"], state["layer2.1.bns.2.running_mean"]
    with pytest.raises(InputError) as caught:
        build("3dspeaker", state, "x")
    assert str(caught.value).splitlines()[1:] == [
        "  fuse_mode123.local_att.3.bias is missing",
        "  layer2.1.bns.2.running_mean is missing",
    ]
