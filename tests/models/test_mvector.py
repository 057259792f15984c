"""What is mvector's networks' own: poolings by name, shortest inputs. test_networks.py has their numbers."""

from itertools import product

import numpy as np
import pytest
from mindspore import Tensor

from mindvox.config.choice import COMMAND_LINE, Choice, Given
from mindvox.models import create_model, fewest_frames, further_outputs, is_foldable
from mindvox.registry import MODELS, POOLINGS
from tests.deploy.toy import without_compiling

LAYERS = {f"layer{index}_{what}": size for index in range(1, 5) for what, size in (("channels", 8), ("blocks", 1))}
SMALL = {
    "ecapa_tdnn": {"channels": 8},
    "res2net": LAYERS,
    "resnet_se": LAYERS,
    "tdnn": {"channels": 8},
}


def settings_of(name: str, pooling: str) -> dict:
    return {"name": name, "in_channels": 16, "emb_size": 6, "pooling": pooling, **SMALL[name]}


def embed(settings: dict, num_frames: int) -> np.ndarray:
    np.random.seed(0)
    model = create_model(settings).set_train(False)
    feats = np.random.default_rng(0).standard_normal((1, num_frames, 16)).astype(np.float32)
    with without_compiling():
        return model(Tensor(feats)).asnumpy()


# Every pooling behind one model; behind the others, one for each least number of frames.
PAIRS = [*(("tdnn", pooling) for pooling in POOLINGS), *product(sorted(SMALL.keys() - {"tdnn"}), ("tap", "tsp"))]


@pytest.mark.parametrize(("name", "pooling"), PAIRS)
def test_shortest_utterance_has_a_finite_embedding(name, pooling):
    settings = settings_of(name, pooling)
    embedding = embed(settings, fewest_frames(settings))
    assert embedding.shape == (1, 6) and np.isfinite(embedding).all()


@pytest.mark.parametrize(
    ("name", "pooling", "least"),
    [("tdnn", "asp", 15), ("tdnn", "tsp", 16), ("res2net", "sap", 5), ("res2net", "statistics", 53)],
)
def test_fewest_frames_follow_from_the_pooling(name, pooling, least):
    assert fewest_frames(settings_of(name, pooling)) == least


def test_one_frame_less_has_no_variance():
    assert np.isnan(embed(settings_of("res2net", "tsp"), 52)).any()


def test_ecapa_of_a_checkpoint_that_names_no_pooling_has_asp():
    old = {"name": "ecapa_tdnn", "in_channels": 16, "channels": 8, "emb_size": 6, "global_context": True}
    names = [parameter.name for parameter in create_model(old).get_parameters()]
    assert names == [parameter.name for parameter in create_model({**old, "pooling": "asp"}).get_parameters()]
    assert is_foldable(old) and further_outputs(old) == {"attention": 24}
    asp, sap = (Given(COMMAND_LINE, "model.pooling", pooling) for pooling in ("asp", "sap"))
    assert Choice(MODELS, "ecapa_tdnn", {"pooling": asp}).differing(old) == []
    assert Choice(MODELS, "ecapa_tdnn", {"pooling": sap}).differing(old) == [sap]


def test_ecapa_with_another_pooling_has_no_folded_form_no_attention_and_takes_no_lengths():
    settings = settings_of("ecapa_tdnn", "sap")
    assert not is_foldable(settings) and further_outputs(settings) == {}
    feats = Tensor(np.ones((2, 20, 16), np.float32))
    with without_compiling(), pytest.raises(ValueError, match="`lengths` needs pooling asp or asp_local"):
        create_model(settings)(feats, Tensor(np.ones(2, np.float32)))
    with pytest.raises(ValueError, match="global_context: false belongs to pooling asp, got pooling sap"):
        create_model({**settings, "global_context": False})


def test_groups_without_channels_are_refused():
    with pytest.raises(ValueError, match="layer2_channels: expected at least 32 with base_width 2"):
        create_model({"name": "res2net", "base_width": 2, "layer1_channels": 32, "layer2_channels": 31})
