"""What is ERes2Net's, ERes2NetV2's, Res2Net's and the x-vector's own: sizes, shortest inputs, poolings by name.

test_networks.py has their numbers.
"""

import numpy as np
import pytest
from mindspore import Tensor

from mindvox.layers.res2 import AttentionalFusion, Res2Block
from mindvox.models.eres2net import ERes2Net
from mindvox.models.eres2netv2 import ERes2NetV2
from mindvox.models.res2net_3dspeaker import Res2Net3DSpeaker
from mindvox.models.xvector import XVector
from mindvox.registry import POOLINGS
from tests.deploy.toy import without_compiling

DEPTHS = {f"layer{layer}_blocks": 1 for layer in (1, 2, 3, 4)}
SMALL = {"in_channels": 12, "emb_size": 6, "m_channels": 4, "base_width": 20, "scale": 3, "expansion": 1, **DEPTHS}
MODELS = dict.fromkeys((ERes2Net, ERes2NetV2, Res2Net3DSpeaker), SMALL)
MODELS[XVector] = {"in_channels": 12, "emb_size": 6, "channels": 5, "pooled_channels": 8}


def small_model(cls, **keys):
    np.random.seed(2)
    return cls(**{**MODELS[cls], **keys}).set_train(False)


@pytest.mark.parametrize("cls", MODELS)
def test_shortest_utterance_has_a_finite_embedding(cls):
    feats = np.random.default_rng(0).standard_normal((1, cls.min_frames, 12)).astype(np.float32)
    with without_compiling():
        embedding = small_model(cls)(Tensor(feats)).asnumpy()
    assert embedding.shape == (1, 6) and np.isfinite(embedding).all() and embedding.std() > 0


@pytest.mark.parametrize(
    ("cls", "names"),
    [(ERes2Net, POOLINGS), (ERes2NetV2, ["tap", "astp"]), (Res2Net3DSpeaker, ["tap", "astp"]), (XVector, POOLINGS)],
)
def test_every_pooling_fits(cls, names):
    for name in names:
        model = small_model(cls, pooling=name)
        _, joined, _, _ = model.embed.linear1.weight.shape
        assert joined == model.pool.out_channels
    assert small_model(cls, pooling="astp", pooling_eps=1e-10).pool.eps == 1e-10


@pytest.mark.parametrize("cls", [cls for cls in MODELS if cls is not XVector])
def test_sizes_that_leave_a_group_without_channels_are_refused(cls):
    assert small_model(cls, base_width=16)
    with pytest.raises(ValueError, match="m_channels: 4 times base_width 15 is below 64"):
        small_model(cls, base_width=15)


def test_blocks_refuse_impossible_sizes():
    with pytest.raises(ValueError, match="`channels` must be at least 4, got 3"):
        AttentionalFusion(3)
    with pytest.raises(ValueError, match="`planes` times `base_width` must be at least 64, got 63"):
        Res2Block(4, 3, 1, base_width=21, scale=2, expansion=1)


def test_last_group_passes_where_it_is_not_convolved():
    block = Res2Block(4, 4, 1, base_width=32, scale=2, expansion=1, passes_last=True).set_train(False)
    groups = Tensor(np.random.default_rng(0).standard_normal((1, 4, 3, 5)).astype(np.float32))
    with without_compiling():
        got = block.convolve_groups(groups).asnumpy()
    np.testing.assert_array_equal(got[:, 2:], groups.asnumpy()[:, 2:])
    assert np.abs(got[:, :2] - groups.asnumpy()[:, :2]).max() > 0
