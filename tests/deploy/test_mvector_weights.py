"""mvector's files: settings from shapes, and what shapes do not tell. Names are in tests/models/test_networks.py."""

import numpy as np
import pytest

from mindvox.deploy.import_weights import build, main
from mindvox.errors import InputError, UsageError
from mindvox.models.checkpoint import read_checkpoint
from tests.deploy.weight_files import write_safetensors
from tests.vectors.networks import Network

STAGES = {"layer1_channels": 8, "layer1_blocks": 1, "layer2_channels": 16, "layer2_blocks": 2}
STAGES |= {"layer3_channels": 24, "layer3_blocks": 1, "layer4_channels": 32, "layer4_blocks": 1}
RESNET_SE = {"name": "resnet_se", **STAGES, "emb_size": 16}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("mv_ecapa_tap_tiny", {"name": "ecapa_tdnn", "in_channels": 40, "channels": 32, "pooling": "tap"}),
        ("mv_tdnn_tsp_tiny", {"name": "tdnn", "in_channels": 40, "channels": 24, "pooling": "tsp"}),
        ("mv_resnetse_sap_tiny", {**RESNET_SE, "in_channels": 40, "pooling": "sap"}),
        ("mv_resnetse_tap_tiny", {**RESNET_SE, "in_channels": 40, "pooling": "tap"}),
    ],
)
def test_settings_are_read_off_the_shapes(name, settings):
    network = Network(name)
    assert build("mvector", network.state, "x")[0] == {"emb_size": 16, **settings}


def test_what_tap_and_tsp_of_maps_look_alike_in_is_asked_for(tmp_path, capsys):
    source = write_safetensors(tmp_path / "x.safetensors", Network("mv_resnetse_tsp_tiny").state)
    words = [str(source), "--from", "mvector", "--to", str(tmp_path / "x.ckpt")]
    with pytest.raises(UsageError, match="--model.pooling: .* does not tell it: expected tap or tsp; it was not given"):
        main(words)
    with pytest.raises(UsageError, match="got 'sap'"):
        main([*words, "--model.pooling=sap"])
    for pooling, in_channels in (("tap", 80), ("tsp", 40)):
        assert main([*words, f"--model.pooling={pooling}"]) == 0
        _, meta = read_checkpoint(tmp_path / "x.ckpt")
        assert meta["model"] == {**RESNET_SE, "in_channels": in_channels, "pooling": pooling}
        assert meta["front_end"]["n_mels"] == in_channels and meta["front_end"]["window"] == "povey"


@pytest.mark.parametrize(
    ("name", "entry", "shape"),
    [
        ("mv_tdnn_sap_tiny", "linear.weight", (16, 48)),
        ("mv_tdnn_tap_tiny", "linear.weight", (16, 10**6)),
        ("mv_ecapa_sap_tiny", "fc.conv.weight", (16, 97, 1)),
        ("mv_resnetse_sap_tiny", "pooling.linear2.weight", (10**6, 128, 1)),
        ("mv_resnetse_sap_tiny", "layer2.1.conv3.weight", (10**6, 16, 1, 1)),
        ("mv_res2net_sap_tiny", "layer1.0.conv3.weight", (33, 8, 1, 1)),
    ],
)
def test_sizes_that_do_not_fit_are_refused_before_building(name, entry, shape, monkeypatch):
    monkeypatch.setattr("mindvox.models.create_model", None)
    state = {**Network(name).state, entry: np.broadcast_to(np.float32(0), shape)}
    with pytest.raises(InputError, match="x: not mvector's .*: the sizes of its layers do not fit together"):
        build("mvector", state, "x")


def test_missing_layers_are_named():
    state = dict(Network("mv_res2net_sap_tiny").state)
    del state["layer3.0.convs.0.weight"], state["bn3.weight"]
    with pytest.raises(InputError) as caught:
        build("mvector", state, "x")
    assert str(caught.value).splitlines()[1:] == ["  bn3.weight is missing", "  layer3.0.convs.0.weight is missing"]
