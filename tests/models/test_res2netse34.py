"""Res2NetSE34 against PyTorch at a toy's size: no published file can be its reference."""

from pathlib import Path

import numpy as np
from mindspore import Tensor

from mindvox.deploy.toolkits.voxceleb_trainer import resnet_name
from mindvox.models import create_model
from tests.deploy.toy import without_compiling
from tests.vectors import weights

REFERENCE = Path(__file__).with_name("reference") / "res2netse34_toy.npz"  # make_res2netse34_reference.py made it
TOY = {"name": "res2netse34", "in_channels": 20, "emb_size": 6}
TOY |= {f"layer{stage}_channels": 8 * stage for stage in (1, 2, 3, 4)}
TOY |= {"layer1_blocks": 1, "layer2_blocks": 2, "layer3_blocks": 1, "layer4_blocks": 2}


def test_embeddings_equal_those_of_pytorch():
    model, expected = create_model(TOY), np.load(REFERENCE)
    for parameter in model.get_parameters():
        name = resnet_name(parameter.name.replace(".norms.", ".bns."))
        shape = parameter.shape[:2] if "fc." in name else parameter.shape  # a Linear there
        value = weights.make_array(name, shape, weights.rule_of(name, shape))
        parameter.set_data(Tensor(value.reshape(parameter.shape)))
    with without_compiling():
        for num_frames in (9, 37):
            feats = Tensor(weights.features(f"x{num_frames}", 2, num_frames, 20))
            embedding = model.set_train(False)(feats).asnumpy()
            np.testing.assert_allclose(embedding, expected[f"eval_{num_frames}"], rtol=0, atol=2e-6)
        # A batch norm of few numbers divides by small deviations.
        np.testing.assert_allclose(model.set_train()(feats).asnumpy(), expected["train"], rtol=0, atol=1e-5)


def test_published_sizes_give_the_parameters_of_the_same_network_in_pytorch():
    model = create_model({"name": "res2netse34"})
    assert sum(parameter.size for parameter in model.trainable_params()) == 17_686_187
