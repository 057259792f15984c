"""What is ReDimNet2's own: its sizes, its keys, what a state tells. test_networks.py has its numbers."""

import numpy as np
import pytest
from mindspore import Tensor

from mindvox.deploy.import_weights import build
from mindvox.deploy.toolkits.redimnet2 import name_of
from mindvox.errors import InputError
from mindvox.layers.activation import Gelu
from mindvox.layers.self_attention import SelfAttention
from mindvox.models import create_model
from mindvox.models.redimnet2 import ReDimNet2, WeightedSum
from tests.deploy.toy import without_compiling

TINY = {"in_channels": 24, "emb_size": 6, "size": "b0", "channels": 6, "stage_blocks": 1}
PARAMETERS = {"b0": 702_196, "b1": 1_253_840, "b2": 2_528_768, "b3": 2_362_984}  # of wespeaker's, without a constant
PARAMETERS |= {"b4": 6_657_440, "b5": 7_897_000, "b6": 12_390_176}


def state_of(settings: dict) -> dict[str, np.ndarray]:
    """Return weights under wespeaker's names."""
    rng = np.random.default_rng(0)
    state = {}
    for parameter in create_model({"name": "redimnet2", **settings}).get_parameters():
        name, shape = name_of(parameter.name), parameter.shape
        if len(shape) == 4 and name.startswith(("linear.", "pool.")) or ".attention." in name and len(shape) == 4:
            shape = shape[:2] if not name.startswith("pool.") else (*shape[:2], shape[3])
        elif name.endswith(("red_dim_conv.0.weight", "backbone.head.weight")) and settings["size"] != "b6":
            shape = (*shape[:2], shape[3])
        state[name] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    channels, bins = state["backbone.stem.0.weight"].shape[0], settings["in_channels"]
    return state | {"backbone.stage0.0.w": np.zeros((1, 1, channels * bins, 1), np.float32)}


@pytest.mark.parametrize("size", PARAMETERS)
def test_published_sizes_have_their_numbers_of_parameters(size):
    assert sum(parameter.size for parameter in ReDimNet2(size=size).trainable_params()) == PARAMETERS[size]


def test_settings_follow_from_a_state():
    found, _ = build("wespeaker", state_of(TINY), "x")
    assert found == {"name": "redimnet2", **TINY, "pooling": "astp", "pooling_eps": 1e-7}


def test_weighted_sum_starts_as_a_mean():
    x = np.random.default_rng(0).standard_normal((3, 2, 4, 5)).astype(np.float32)
    with without_compiling():
        y = WeightedSum(3, 4)(tuple(Tensor(each) for each in x)).asnumpy()
    np.testing.assert_allclose(y, x.mean(axis=0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("approximate", "expected"), [(False, [-0.15865525, 0, 0.84134475]), (True, [-0.158808, 0, 0.841192])]
)
def test_gelu_is_that_of_its_formula(approximate, expected):
    with without_compiling():
        y = Gelu(approximate)(Tensor(np.array([-1, 0, 1], np.float32))).asnumpy()
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="`num_heads` must divide 6 channels, got 4"):
        SelfAttention(6, 4)


def test_shortest_utterances_have_embeddings_of_whole_fours_of_frames():
    np.random.seed(2)
    model = ReDimNet2(**TINY).set_train(False)
    feats = np.random.default_rng(0).standard_normal((1, 7, 24)).astype(np.float32)
    with without_compiling():
        embedding = model(Tensor(feats)).asnumpy()
        np.testing.assert_array_equal(embedding, model(Tensor(feats[:, :4])).asnumpy())
    assert embedding.shape == (1, 6) and np.isfinite(embedding).all()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"size": "b7"}, "size: expected one of b0, b1"),
        ({"in_channels": 80, "size": "b2"}, "in_channels: b2 needs a multiple of 12, got 80"),
        ({"size": "b0", "in_channels": 80}, r"channels: b0 needs .* the number of attention heads, got 12 \* 80"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        ReDimNet2(**keys)


@pytest.mark.parametrize("name", ["backbone.fin_wght1d.w", "backbone.stage2.2.weight", "backbone.head.weight"])
def test_sizes_that_do_not_fit_are_refused_before_building(name, monkeypatch):
    state = state_of(TINY)
    monkeypatch.setattr("mindvox.models.create_model", None)
    shape = (state[name].shape[0], *state[name].shape[1:2], state[name].shape[2] * 10**5, *state[name].shape[3:])
    with pytest.raises(InputError, match="not wespeaker's ReDimNet2: the sizes of its layers do not fit"):
        build("wespeaker", {**state, name: np.broadcast_to(np.float32(0), shape)}, "x")
