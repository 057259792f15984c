"""voxceleb_trainer's files: names, sizes, features. What the networks compute: tests/models/test_networks.py."""

import numpy as np
import pytest

from mindvox.deploy.import_weights import build, main
from mindvox.deploy.toolkits.voxceleb_trainer import resnet_name, vgg_name
from mindvox.errors import InputError, UsageError
from mindvox.frontend import front_end_of
from mindvox.models import create_model
from mindvox.models.checkpoint import read_checkpoint
from mindvox.registry import TOOLKITS
from tests.deploy.weight_files import write_safetensors
from tests.vectors.networks import Network, made_input

SIZES = {f"layer{stage}_channels": 8 * stage for stage in (1, 2, 3, 4)}
SIZES |= {"layer1_blocks": 1, "layer2_blocks": 2, "layer3_blocks": 1, "layer4_blocks": 1}
L = {"name": "resnetse34l", "in_channels": 24, "emb_size": 6, **SIZES, "pooling": "frame_asp", "pooling_eps": 0.0}
V2 = {"name": "resnetse34v2", "in_channels": 20, "emb_size": 6, **SIZES, "pooling": "channel_sap", "pooling_eps": 0.0}
VGG = {"name": "vggvox40", "in_channels": 40, "emb_size": 6, "pooling": "frame_sap", "pooling_eps": 0.0}
MEL = {"type": "mel_spectrogram", "n_fft": 512, "hop_length_ms": 10.0, "offset": 1e-6, "normalisation": "instance"}
HAMMING, HANN = {**MEL, "window": "hamming"}, {**MEL, "window": "hann"}
SAMPLES_OF_16_BITS = ["--front_end.waveform_scale=32768"]


def state_of(settings: dict, filters: bool = True) -> dict[str, np.ndarray]:
    """Weights under voxceleb_trainer's names and in torch's shapes."""
    rng = np.random.default_rng(0)
    name_of = vgg_name if settings["name"] == "vggvox40" else resnet_name
    found = {}
    for parameter in create_model(settings).get_parameters():
        name, shape = name_of(parameter.name), parameter.shape
        if name.startswith("attention."):
            shape = (*shape[:2], 1) if len(shape) == 4 else shape  # a Conv1d
        elif name.startswith(("sap_linear.", "fc.")) or ".se.fc." in name:
            shape = shape[:2]  # a Linear
        found[name] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if filters:
        found["torchfb.1.mel_scale.fb"] = np.ones((257, settings["in_channels"]), np.float32)
        found["torchfb.1.spectrogram.window"] = np.ones(400, np.float32)
    return found


@pytest.mark.parametrize(
    ("settings", "options", "told", "front_end"),
    [
        (L, [], {}, {**HAMMING, "preemphasis": 0.0, "log": "natural", "waveform_scale": 1.0}),
        (L, ["--front_end.log=none"], {}, {**HAMMING, "preemphasis": 0.0, "log": "none"}),
        (V2, SAMPLES_OF_16_BITS, {}, {**HAMMING, "preemphasis": 0.97, "log": "natural", "waveform_scale": 32768.0}),
        (VGG, [], {}, {**HANN, "preemphasis": 0.0, "log": "natural"}),
        ({**VGG, "pooling": "tap"}, ["--model.pooling=max"], {"pooling": "max"}, HANN),
    ],
)
def test_network_is_found_by_its_names_and_imported_with_its_features(
    settings, options, told, front_end, tmp_path, capsys
):
    state = state_of(settings)
    content = {f"__S__.{name}": array for name, array in state.items()} | {"__L__.w": np.ones((), np.float32)}
    source = write_safetensors(tmp_path / "x.safetensors", content)
    words = [str(source), "--from", "voxceleb_trainer", "--to", str(tmp_path / "x.ckpt"), *options]
    assert main(words) == 0
    arrays, meta = read_checkpoint(tmp_path / "x.ckpt")
    assert meta["model"] == {**settings, **told}
    front_end = {**front_end, "n_mels": settings["in_channels"]}
    assert {key: meta["front_end"][key] for key in front_end} == front_end
    name_of = vgg_name if settings["name"] == "vggvox40" else resnet_name
    own = {name_of(name.removeprefix("model.")): array for name, array in arrays.items()}
    assert own.keys() == {name for name in state if not name.startswith("torchfb.")}
    for name, array in own.items():
        np.testing.assert_array_equal(array.ravel(), state[name].ravel(), err_msg=name)
    assert "left out: __L__.w" in capsys.readouterr().out


@pytest.mark.parametrize(("settings", "bins"), [(L, 40), ({**L, "in_channels": 64}, 40), (V2, 24), (VGG, 40)])
def test_bins_are_the_published_ones_where_a_file_has_no_filters(settings, bins):
    found, _ = build("voxceleb_trainer", state_of(settings, filters=False), "x")
    assert found == {**settings, "in_channels": bins}


def test_what_a_file_tells_cannot_be_given_and_what_it_does_not_tell_must_be(tmp_path):
    def run(settings: dict, *options: str) -> None:
        source = write_safetensors(tmp_path / "x.safetensors", state_of(settings))
        main([str(source), "--from", "voxceleb_trainer", "--to", str(tmp_path / "x.ckpt"), *options])

    with pytest.raises(UsageError, match="--model.pooling: .* tells it"):
        run(VGG, "--model.pooling=tap")
    with pytest.raises(UsageError, match="--model.pooling: .* does not tell it: expected tap or max; it was not given"):
        run({**VGG, "pooling": "max"})
    with pytest.raises(UsageError, match="expected tap or max; got 'asp'"):
        run({**VGG, "pooling": "max"}, "--model.pooling=asp")
    with pytest.raises(
        UsageError, match="--front_end.n_mels: .*expected --front_end.log or --front_end.waveform_scale"
    ):
        run(L, "--front_end.n_mels=80")
    with pytest.raises(InputError, match="log: expected one of none, natural, db, got 'ln'"):
        run(L, "--front_end.log=ln")
    with pytest.raises(UsageError, match="unrecognized arguments: --loss.margin=1"):
        run(L, "--loss.margin=1")
    assert not (tmp_path / "x.ckpt").exists()


@pytest.mark.parametrize(
    ("settings", "name", "shape"),
    [
        (L, "layer2.0.conv1.weight", (16, 10**6, 3, 3)),
        (L, "layer2.1.conv1.weight", (16, 10**6, 3, 3)),
        (L, "sap_linear.weight", (10**5, 32)),
        (L, "fc.weight", (6, 10**6)),
        (V2, "attention.0.weight", (128, 10**6, 1)),
        (V2, "fc.weight", (6, 10**6)),
        (V2, "torchfb.1.mel_scale.fb", (257, 10**6)),
        (VGG, "fc.weight", (6, 10**6)),
    ],
)
def test_sizes_that_do_not_fit_are_refused_before_building(settings, name, shape, monkeypatch):
    state = {**state_of(settings), name: np.broadcast_to(np.float32(0), shape)}
    monkeypatch.setattr("mindvox.models.create_model", None)
    with pytest.raises(InputError, match="x: not voxceleb_trainer's .*: the sizes of its layers do not fit together"):
        build("voxceleb_trainer", state, "x")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnetse34l_sap_tiny", {}),
        ("resnetse34l_sap_nolog", {"log": "none"}),
        ("resnetse34v2_asp", {}),
        ("vggvox40_sap", {}),
    ],
)
def test_features_are_what_the_convolutions_receive(name, options):
    network = Network(f"vt_{name}")
    settings, _ = build("voxceleb_trainer", network.state, "reference")
    stored = {**TOOLKITS.get("voxceleb_trainer").front_end(settings), **options}
    front_end = front_end_of(stored)
    key = f"x{network.meta['lengths'][-1]}"
    for waveform, expected in zip(made_input(network.meta, key), network.feats(key).asnumpy(), strict=True):
        # The public mel filters are in single precision, which the logarithm of a small value shows.
        np.testing.assert_allclose(front_end.finish(front_end(waveform)), expected, rtol=0, atol=1e-4)


def test_another_network_with_squeeze_excitation_is_refused():
    with pytest.raises(InputError, match="ResNetSE34V2: conv1.weight is missing"):
        build("voxceleb_trainer", {"layer1.0.se.fc.0.weight": np.ones((1, 8), np.float32)}, "x")
    with pytest.raises(InputError, match=r"none of the models .* VGGVox \(it has netcnn.0.weight\), ResNetSE34L"):
        build("voxceleb_trainer", {"layer1.weight": np.ones(1, np.float32)}, "x")


def test_training_files_hold_the_state_under_the_models_name():
    split, left_out = TOOLKITS.get("voxceleb_trainer").split(
        {"__S__.fc.weight": np.ones(1), "__L__.fc.weight": np.ones(1)}
    )
    assert list(split) == ["fc.weight"] and left_out == ["__L__.fc.weight"]
