"""What is SimAM-ResNet's own: its attention, its sizes, what a state tells. test_networks.py has its numbers."""

import numpy as np
import pytest
from mindspore import Tensor

from mindvox.deploy.import_weights import build
from mindvox.deploy.toolkits.resnet import simam_name
from mindvox.errors import InputError
from mindvox.layers.building import building_for
from mindvox.layers.simam import LAMBDA, SimAM
from mindvox.models import create_model
from mindvox.models.simam_resnet import SimAMResNet
from tests.deploy.toy import without_compiling

TINY = {"in_channels": 16, "emb_size": 6, "depth": 0, "m_channels": 4}
TINY |= {"layer1_blocks": 1, "layer2_blocks": 2, "layer3_blocks": 1, "layer4_blocks": 1}
PARAMETERS = {34: 25_213_760, 100: 50_232_896}  # of wespeaker's SimAM_ResNet34_ASP and SimAM_ResNet100_ASP


def state_of(settings: dict) -> dict[str, np.ndarray]:
    """Return weights under wespeaker's names and in torch's shapes."""
    rng = np.random.default_rng(0)
    state = {}
    for parameter in create_model({"name": "simam_resnet", **settings}).get_parameters():
        shape = parameter.shape
        if parameter.name == "embed.linear1.weight":  # a Linear
            shape = shape[:2]
        elif parameter.name.startswith("pool") and len(shape) == 4:  # a Conv1d
            shape = (*shape[:2], shape[3])
        state[simam_name(parameter.name)] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return state


@pytest.mark.parametrize("device_target", ["CPU", "Ascend"])
def test_attention_is_that_of_its_formula(device_target):
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)) * 2 + 1
    distance = np.square(x - x.mean(axis=(2, 3), keepdims=True))
    variance = distance.sum(axis=(2, 3), keepdims=True) / 19
    expected = x / (1 + np.exp(-(distance / (4 * (variance + LAMBDA)) + 0.5)))
    with building_for(device_target), without_compiling():
        np.testing.assert_allclose(SimAM()(Tensor(x.astype(np.float32))).asnumpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("depth", "count"), [(34, PARAMETERS[34]), pytest.param(100, PARAMETERS[100], marks=pytest.mark.slow)]
)
def test_published_sizes_have_their_numbers_of_parameters(depth, count):
    model = SimAMResNet(depth=depth)
    assert sum(parameter.size for parameter in model.trainable_params()) == count


def test_settings_follow_from_a_state():
    found, _ = build("wespeaker", state_of(TINY), "x")
    assert found == {"name": "simam_resnet", **TINY, "pooling": "channel_asp"}
    sizes = {"layer1_blocks": 3, "layer2_blocks": 4, "layer3_blocks": 6, "layer4_blocks": 3}
    found, _ = build("wespeaker", state_of({**TINY, **sizes}), "x")
    assert found["depth"] == 34 and "layer1_blocks" not in found


@pytest.mark.parametrize("pooling", ["tstp", "astp", "max"])
def test_shortest_utterance_has_a_finite_embedding_with_other_poolings(pooling):
    np.random.seed(2)
    model = SimAMResNet(**TINY, pooling=pooling).set_train(False)
    feats = np.random.default_rng(0).standard_normal((1, SimAMResNet.min_frames, 16)).astype(np.float32)
    with without_compiling():
        embedding = model(Tensor(feats)).asnumpy()
    assert embedding.shape == (1, 6) and np.isfinite(embedding).all()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"depth": 50}, "depth: expected one of 0, 34, 100, got 50"),
        ({"layer3_blocks": 2}, "depth: 34 has its own blocks"),
        ({**TINY, "layer4_blocks": 0}, "depth: 0 needs at least 1 in each of layer1_blocks to layer4_blocks"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        SimAMResNet(**keys)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("bottleneck.weight", (6, 10**6)),
        ("front.conv1.weight", (10**6, 1, 3, 3)),
        ("pooling.attention.0.weight", (128, 65, 1)),
    ],
)
def test_sizes_that_do_not_fit_are_refused_before_building(name, shape, monkeypatch):
    state = state_of(TINY)
    monkeypatch.setattr("mindvox.models.create_model", None)
    with pytest.raises(InputError, match="not wespeaker's SimAM-ResNet: the sizes of its layers do not fit"):
        build("wespeaker", {**state, name: np.broadcast_to(np.float32(0), shape)}, "x")
