"""What is CAM++'s own: its shortest input, its pooling by name, its segments. test_networks.py has its numbers."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindvox.layers.building import building_for
from mindvox.models.campplus import CamPlusPlus, Segments
from tests.deploy.toy import without_compiling

SMALL = {"in_channels": 12, "emb_size": 6, "init_channels": 6, "growth_rate": 3, "bottleneck_factor": 2}
SMALL |= {"block1_layers": 2, "block2_layers": 1, "block3_layers": 1}


def small_model(**keys) -> CamPlusPlus:
    np.random.seed(2)
    return CamPlusPlus(**{**SMALL, **keys}).set_train(False)


def test_shortest_utterance_has_a_finite_embedding():
    feats = np.random.default_rng(0).standard_normal((1, CamPlusPlus.min_frames, 12)).astype(np.float32)
    with without_compiling():
        embedding = small_model()(Tensor(feats)).asnumpy()
    assert embedding.shape == (1, 6) and np.isfinite(embedding).all()


def test_forms_of_both_devices_agree():
    product = small_model()
    with building_for("Ascend"):
        native = small_model()
    feats = Tensor(np.random.default_rng(0).standard_normal((2, 230, 12)).astype(np.float32))
    with without_compiling():
        np.testing.assert_allclose(product(feats).asnumpy(), native(feats).asnumpy(), rtol=1e-4, atol=1e-5)


def test_pooling_is_chosen_by_name():
    model = small_model(pooling="astp")
    assert type(model.pool).__name__ == "Astp" and model.pool.eps == 1e-7
    assert small_model(pooling="astp", pooling_eps=1e-10).pool.eps == 1e-10
    with pytest.raises(ValueError, match="pooling: expected one of asp, .*, got 'none'"):
        small_model(pooling="none")


def test_segments_average_the_frames_that_they_have():
    cell = Segments(4)
    cell.set_inputs(Tensor(shape=[None, None, 1, None], dtype=ms.float32))  # one graph for every length
    for num_frames in (1, 3, 4, 5, 11, 12):
        x = np.random.default_rng(num_frames).standard_normal((2, 3, 1, num_frames)).astype(np.float32)
        members, averages = (output.asnumpy() for output in cell(Tensor(x)))
        segment = np.arange(num_frames) // 4
        np.testing.assert_array_equal(members, np.arange(segment[-1] + 1)[:, None] == segment)
        means = [
            (x[..., segment == index].mean(axis=-1) + x.mean(axis=-1))[:, :, 0] for index in range(segment[-1] + 1)
        ]
        np.testing.assert_allclose((x @ averages)[:, :, 0], np.stack(means, axis=-1), rtol=1e-5, atol=1e-6)
