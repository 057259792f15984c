"""What is ResNet's own: its published sizes, its options, what a state tells. test_networks.py has its numbers."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindvox.deploy.import_weights import build
from mindvox.deploy.toolkits.resnet import CONSTANT, name_of
from mindvox.errors import InputError
from mindvox.models import create_model
from mindvox.models.resnet import ResNet
from mindvox.registry import POOLINGS
from tests.deploy.toy import without_compiling

TINY = {"in_channels": 16, "emb_size": 6, "depth": 0, "block": "basic", "m_channels": 4}
TINY |= {"layer1_blocks": 1, "layer2_blocks": 2, "layer3_blocks": 1, "layer4_blocks": 1}
MILLIONS = {18: 4.105, 34: 6.634, 50: 11.131, 101: 15.892, 152: 19.815, 221: 23.792, 293: 28.626}  # wespeaker's


def state_of(settings: dict) -> dict[str, np.ndarray]:
    """Return weights under the toolkits' names and in torch's shapes."""
    rng = np.random.default_rng(0)
    state = {}
    for parameter in create_model({"name": "resnet", **settings}).get_parameters():
        if parameter.name not in CONSTANT:
            shape = parameter.shape
            if parameter.name.startswith("embed.linear") and len(shape) == 4:  # a Linear
                shape = shape[:2]
            elif parameter.name.startswith("pool") and len(shape) == 4:  # a Conv1d
                shape = (*shape[:2], shape[3])
            state[name_of(parameter.name)] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return state


@pytest.mark.parametrize(
    ("depth", "millions"),
    [pytest.param(*item, marks=pytest.mark.slow) if item[0] > 34 else item for item in MILLIONS.items()],
)
def test_published_sizes_have_their_numbers_of_parameters(depth, millions):
    model = ResNet(depth=depth)
    assert round(sum(parameter.size for parameter in model.trainable_params()) / 1e6, 3) == millions
    settings, _ = build("wespeaker", state_of({"depth": depth}), "x")
    assert settings["depth"] == depth and "block" not in settings and settings["in_channels"] == 80


@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_every_pooling_works_with_a_batch_of_one_of_the_shortest_length(pooling):
    np.random.seed(2)
    model = ResNet(**TINY, pooling=pooling).set_train(False)
    feats = np.random.default_rng(0).standard_normal((1, ResNet.min_frames, 16)).astype(np.float32)
    with without_compiling():
        embedding = model(Tensor(feats)).asnumpy()
    assert embedding.shape == (1, 6) and np.isfinite(embedding).all()


def test_frames_of_any_size_are_taken():
    np.random.seed(2)
    feats = np.random.default_rng(0).standard_normal((2, 17, 13)).astype(np.float32)
    with without_compiling():
        assert ResNet(**{**TINY, "in_channels": 13})(Tensor(feats)).shape == (2, 6)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"depth": 35}, "depth: expected one of 0, 18, 34, 50, 101, 152, 221, 293, got 35"),
        ({"block": "basic"}, "depth: 34 has its own blocks"),
        ({"layer3_blocks": 2}, "depth: 34 has its own blocks"),
        ({**TINY, "block": "auto"}, "depth: 0 needs block"),
        ({**TINY, "layer4_blocks": 0}, "depth: 0 needs block, and at least 1 in each of layer1_blocks to"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        ResNet(**keys)


@pytest.mark.parametrize(
    ("toolkit", "pooling", "eps"),
    [
        ("wespeaker", "tstp", 1e-7),
        ("3dspeaker", "tstp", 1e-8),
        ("wespeaker", "astp", 1e-7),
        ("3dspeaker", "astp_local", 1e-10),
    ],
)
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_settings_follow_from_a_state(toolkit, pooling, eps, block):
    settings = {**TINY, "block": block, "two_emb_layer": toolkit == "3dspeaker", "pooling": pooling}
    found, model = build(toolkit, state_of(settings), "x")
    assert found == {"name": "resnet", **settings, "pooling_eps": eps}
    assert isinstance(model, nn.Cell)


def test_mean_alone_is_found_where_the_rows_are_odd():
    settings = {**TINY, "in_channels": 8, "pooling": "tap"}
    found, _ = build("wespeaker", state_of(settings), "x")
    assert (found["pooling"], found["in_channels"], found["pooling_eps"]) == ("tap", 8, 0.0)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("seg_1.weight", (6, 10**6 + 1)),
        ("layer4.0.conv2.weight", (10**6, 32, 3, 3)),
        ("conv1.weight", (10**6, 1, 3, 3)),
    ],
)
def test_sizes_that_do_not_fit_are_refused_before_building(name, shape, monkeypatch):
    state = state_of(TINY)
    monkeypatch.setattr("mindvox.models.create_model", None)
    with pytest.raises(InputError, match="x: not wespeaker's ResNet: the sizes of its layers do not fit together"):
        build("wespeaker", {**state, name: np.broadcast_to(np.float32(0), shape)}, "x")


def test_missing_first_block_is_told():
    state = state_of(TINY)
    del state["layer3.0.conv1.weight"]
    with pytest.raises(InputError, match="layer3.0.conv1.weight is missing"):
        build("wespeaker", state, "x")


@pytest.mark.slow
def test_forms_of_both_devices_agree():
    keys = {**TINY, "block": "bottleneck", "two_emb_layer": True}
    models = []
    for device_target in ("CPU", "Ascend"):
        np.random.seed(2)
        models.append(create_model({"name": "resnet", **keys}, device_target).set_train(False))
    feats = Tensor(np.random.default_rng(0).standard_normal((2, 30, 16)).astype(np.float32), ms.float32)
    with without_compiling():
        product, native = (model(feats).asnumpy() for model in models)
    np.testing.assert_allclose(product, native, rtol=1e-4, atol=1e-5)
