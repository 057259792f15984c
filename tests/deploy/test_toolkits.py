"""CAM++ as three toolkits keep it, the 310P guide's network and Resemblyzer's: names, sizes, front ends.

What they compute: tests/models/test_networks.py.
"""

import numpy as np
import pytest

from mindvox.deploy.import_weights import build, main
from mindvox.deploy.toolkits.campplus import CONSTANT, name_of
from mindvox.deploy.toolkits.joovvhan import name_of as name_of_guide
from mindvox.errors import InputError
from mindvox.frontend import front_end_of
from mindvox.models import create_model
from mindvox.models.checkpoint import read_checkpoint
from mindvox.registry import TOOLKITS
from tests.deploy.weight_files import write_safetensors
from tests.vectors.networks import Network

SETTINGS = {"name": "campplus", "in_channels": 16, "emb_size": 6, "init_channels": 6, "growth_rate": 3}
SETTINGS |= {"bottleneck_factor": 2, "block1_layers": 2, "block2_layers": 1, "block3_layers": 3}
SETTINGS |= {"pooling": "statistics", "pooling_eps": 0.0}
KALDI = {"type": "kaldi_fbank", "sample_rate": 16000, "n_mels": 16, "win_length_ms": 25.0, "hop_length_ms": 10.0}
KALDI |= {"f_min": 20.0, "f_max": 8000.0, "preemphasis": 0.97, "dither": 0.0, "subtract_mean": True}
POVEY = {**KALDI, "window": "povey", "waveform_scale": 1.0}


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    """Weights under the toolkits' names and in torch's shapes."""
    rng = np.random.default_rng(0)
    found = {}
    for parameter in create_model(SETTINGS).get_parameters():
        if parameter.name in CONSTANT:
            continue
        shape = parameter.shape
        if not parameter.name.startswith("head.") and len(shape) == 4:
            shape = (*shape[:2], shape[3])  # a Conv1d
        found[name_of(parameter.name)] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return found


@pytest.mark.parametrize(
    ("toolkit", "prefix", "classifier", "eps", "front_end"),
    [
        ("3dspeaker", "", None, 0.0, POVEY),
        ("mvector", "0.", "1.weight", 0.0, POVEY),
        ("mvector", "", None, 0.0, POVEY),
        ("wespeaker", "", "projection.weight", 1e-7, {**KALDI, "window": "hamming", "waveform_scale": 32768.0}),
    ],
)
def test_campplus_is_found_by_its_names_and_imported(
    toolkit, prefix, classifier, eps, front_end, state, tmp_path, capsys
):
    content = {prefix + name: array for name, array in state.items()}
    if classifier:
        content[classifier] = np.ones((3, 6), np.float32)
    source = write_safetensors(tmp_path / "x.safetensors", content)
    assert main([str(source), "--from", toolkit, "--to", str(tmp_path / "x.ckpt")]) == 0
    arrays, meta = read_checkpoint(tmp_path / "x.ckpt")
    assert meta["model"] == {**SETTINGS, "pooling_eps": eps}
    assert meta["front_end"] == front_end
    own = {name.removeprefix("model."): array for name, array in arrays.items()}
    for name, value in zip(CONSTANT, (1, 0), strict=True):
        assert np.all(own.pop(name) == value)
    assert {name_of(name) for name in own} == state.keys()
    for name, array in own.items():
        np.testing.assert_array_equal(array.ravel(), state[name_of(name)].ravel(), err_msg=name)
    said = capsys.readouterr().out
    assert "campplus (in_channels 16, emb_size 6, " in said
    assert (f"left out: {classifier}" in said) == bool(classifier)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_guides_checkpoint_is_imported_with_its_front_end(prefix, tmp_path, capsys):
    network = Network("jv_ecapa_tiny")
    content = {prefix + name: array for name, array in network.state.items()}
    content[f"{prefix}speaker_embedding.weight_g"] = np.ones((5, 1), np.float32)
    source = write_safetensors(tmp_path / "x.safetensors", content)
    assert main([str(source), "--from", "joovvhan", "--to", str(tmp_path / "x.ckpt")]) == 0
    arrays, meta = read_checkpoint(tmp_path / "x.ckpt")
    assert meta["model"] == {"name": "ecapa_joovvhan", "in_channels": 40, "channels": 4, "emb_size": 12}
    assert {name_of_guide(name.removeprefix("model.")) for name in arrays} == network.state.keys()
    assert f"left out: {prefix}speaker_embedding.weight_g" in capsys.readouterr().out
    front_end = front_end_of(meta["front_end"])
    silence, click = np.zeros(4000), np.eye(1, 4000)[0]
    feats = front_end.finish(front_end(silence))
    assert feats.shape == (26, 40)
    np.testing.assert_allclose(feats, np.log(1e-5) / 6 + 1, atol=1e-6)
    # A click at the first sample has the flat magnitude of the window's middle, 1; a filter's area over bins of 40 Hz
    # is then 1 / 40, so that the mean of exp(6 (x - 1)) is near 0.025.
    first = np.exp(6 * (front_end(click)[0] - 1))
    assert np.mean(first) == pytest.approx(1 / 40, rel=0.2) and np.all(front_end(click)[3:] == feats[0, 0])


def test_what_does_not_fit_is_listed(state):
    wrong = {**state, "head.conv2.weight": np.ones((32, 32, 3), np.float32)}
    del wrong["xvector.block3.tdnnd3.cam_layer.linear2.bias"]
    with pytest.raises(InputError) as caught:
        build("3dspeaker", wrong, "x")
    assert str(caught.value).splitlines()[1:] == [
        "  xvector.block3.tdnnd3.cam_layer.linear2.bias is missing",
        "  head.conv2.weight is (32, 32, 3), expected (32, 32, 3, 3)",
    ]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("xvector.block2.tdnnd1.linear1.weight", (6, 10**6, 1)),
        ("xvector.transit1.linear.weight", (7, 12, 1)),
        ("xvector.dense.linear.weight", (6, 10**5, 1)),
        ("xvector.tdnn.linear.weight", (6, 65, 5)),
    ],
)
def test_sizes_that_do_not_fit_are_refused_before_building(name, shape, state, monkeypatch):
    monkeypatch.setattr("mindvox.models.create_model", None)
    huge = np.broadcast_to(np.float32(0), shape)
    with pytest.raises(InputError, match=r"x: not wespeaker's CAM\+\+: the sizes of its layers do not fit together"):
        build("wespeaker", {**state, name: huge}, "x")


def test_every_toolkit_names_its_front_end_for_the_size_of_a_frame():
    for name in ("3dspeaker", "mvector", "speechbrain", "wespeaker"):
        assert TOOLKITS.get(name).front_end({"in_channels": 40})["n_mels"] == 40


@pytest.fixture
def encoder() -> dict[str, np.ndarray]:
    """Resemblyzer's names at a small size, with what belongs to its loss."""
    rng = np.random.default_rng(0)
    shapes = {"linear.weight": (6, 5), "linear.bias": (6,), "similarity_weight": (1,), "similarity_bias": (1,)}
    for layer, size in enumerate((12, 5)):
        shapes |= {f"lstm.weight_ih_l{layer}": (20, size), f"lstm.weight_hh_l{layer}": (20, 5)}
        shapes |= {f"lstm.bias_ih_l{layer}": (20,), f"lstm.bias_hh_l{layer}": (20,)}
    return {name: rng.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in shapes.items()}


def test_resemblyzers_encoder_is_imported_with_its_preparation(encoder, tmp_path, capsys):
    source = write_safetensors(tmp_path / "x.safetensors", encoder)
    assert main([str(source), "--from", "resemblyzer", "--to", str(tmp_path / "x.ckpt")]) == 0
    arrays, meta = read_checkpoint(tmp_path / "x.ckpt")
    sizes = {"in_channels": 12, "emb_size": 6, "hidden_size": 5, "num_layers": 2}
    assert meta["model"] == {"name": "ge2e_lstm", **sizes}
    front_end = meta["front_end"]
    assert (front_end["type"], front_end["n_mels"], front_end["mel_scale"]) == ("mel_spectrogram", 12, "slaney")
    assert (front_end["trim"], front_end["raise_level_db"], front_end["zeros_after_ms"]) == ("webrtc", -30.0, 20.0)
    np.testing.assert_array_equal(arrays["model.layers.1.weight_ih"], encoder["lstm.weight_ih_l1"])
    np.testing.assert_array_equal(arrays["model.linear.weight"].squeeze((2, 3)), encoder["linear.weight"])
    assert "left out: similarity_weight, similarity_bias" in capsys.readouterr().out


def test_encoder_whose_sizes_do_not_fit_is_refused(encoder, tmp_path, capsys):
    encoder["linear.weight"] = encoder["linear.weight"][:, :4]
    source = write_safetensors(tmp_path / "x.safetensors", encoder)
    with pytest.raises(InputError, match="not resemblyzer's GE2E encoder: the sizes of its layers do not fit"):
        main([str(source), "--from", "resemblyzer", "--to", str(tmp_path / "x.ckpt")])
    del encoder["linear.weight"]
    source = write_safetensors(tmp_path / "x.safetensors", encoder)
    with pytest.raises(InputError, match=r"linear\.weight is missing"):
        main([str(source), "--from", "resemblyzer", "--to", str(tmp_path / "x.ckpt")])
