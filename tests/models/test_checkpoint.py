"""Checkpoints: exact names, whole files, clear errors."""

import os
import shutil

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor

from mindvox.config import Config, load_config
from mindvox.errors import InputError
from mindvox.models import create_model, load_model, take_settings
from mindvox.models.checkpoint import assign, checkpoint_path, find_checkpoint, read_checkpoint, write_checkpoint
from tests.deploy.toy import without_compiling

SETTINGS = {"name": "ecapa_tdnn", "in_channels": 8, "channels": 8, "emb_size": 4, "global_context": True}
META = {"model": SETTINGS, "front_end": {"n_mels": 8}, "speakers_sha256": "0", "epoch": 1, "step": 2}


@pytest.fixture
def saved(tmp_path):
    model = create_model(SETTINGS)
    path = tmp_path / "a.ckpt"
    state = {f"model.{parameter.name}": parameter for parameter in model.get_parameters()}
    # A name that ends like a weight's: MindSpore's own loader would write this moment into the weight.
    state["opt.moment1.fc.weight"] = Parameter(Tensor(np.full(model.fc.weight.shape, 9.0), ms.float32), name="m")
    write_checkpoint(path, state, META)
    return path, model


def test_loaded_model_has_the_saved_weights_and_embeddings(saved):
    path, model = saved
    model.set_train(False)
    loaded, meta = load_model(path)
    feats = Tensor(np.random.default_rng(0).standard_normal((2, 9, 8)).astype(np.float32))
    with without_compiling():
        np.testing.assert_array_equal(loaded(feats).asnumpy(), model(feats).asnumpy())
    assert meta == META


def test_weights_without_a_height_as_older_checkpoints_have_them_are_read(tmp_path):
    model = create_model(SETTINGS)
    old = {
        f"model.{value.name}": Parameter(Tensor(value.asnumpy().squeeze(2) if value.ndim == 4 else value.asnumpy()))
        for value in model.get_parameters()
    }
    assert old["model.blocks.0.conv.weight"].shape == (8, 8, 5)
    write_checkpoint(tmp_path / "a.ckpt", old, META)
    loaded, _ = load_model(tmp_path / "a.ckpt")
    for value, expected in zip(loaded.get_parameters(), model.get_parameters(), strict=True):
        np.testing.assert_array_equal(value.asnumpy(), expected.asnumpy(), err_msg=value.name)


def test_checkpoint_overwrites_and_leaves_no_other_file(saved):
    path, model = saved
    write_checkpoint(path, {"model.fc.bias": model.fc.bias}, META)
    assert list(read_checkpoint(path)[0]) == ["model.fc.bias"]
    assert os.listdir(path.parent) == ["a.ckpt"]
    assert os.access(path, os.W_OK)


def test_flipped_byte_is_noticed(saved):
    path, _ = saved
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a whole MindSpore checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"some text", b"\x00" * 1000])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(InputError, match="a.ckpt: not a whole MindSpore checkpoint"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_torn_checkpoint_is_refused(saved):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a whole MindSpore checkpoint"):
        read_checkpoint(path)


def test_checkpoint_of_another_project_is_refused(tmp_path):
    ms.save_checkpoint([{"name": "w", "data": Tensor([1.0])}], str(tmp_path / "a.ckpt"))
    with pytest.raises(InputError, match="not of this project"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(InputError, match="a.ckpt: no such checkpoint"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_weights_of_another_size_are_refused_and_nothing_is_set(saved):
    path, _ = saved
    arrays, _ = read_checkpoint(path)
    other = create_model({**SETTINGS, "emb_size": 6})
    before = other.fc.bias.asnumpy().copy()
    with pytest.raises(InputError, match=r"model.fc.bias is \(4,\), expected \(6,\)"):
        assign(other, arrays, "model.", path)
    np.testing.assert_array_equal(other.fc.bias.asnumpy(), before)


def test_missing_and_surplus_weights_are_listed(saved):
    path, _ = saved
    arrays, _ = read_checkpoint(path)
    arrays["model.surplus"] = arrays.pop("model.fc.bias")
    with pytest.raises(InputError, match="model.fc.bias is missing; model.surplus is not in the model"):
        assign(create_model(SETTINGS), arrays, "model.", path)


# A checkpoint knows its model (issue 12, B15). Second variants: the size of a frame, the architecture, and the size of
# an export's frame (tests/deploy); fine-tuning (tests/training).


def test_keys_of_the_file_give_way_to_the_checkpoint_which_is_printed(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("channels: 512\n")
    config = load_config(Config, [f"--config_path={tmp_path / 'config.yaml'}", "--emb_size=4"])
    taken = take_settings(config, SETTINGS, "x.ckpt")
    assert taken.model.to_dict().items() >= SETTINGS.items()
    assert taken.on_command_line == {"model.emb_size"}
    assert capsys.readouterr().out.splitlines() == [
        "model: ecapa_tdnn (in_channels 8, channels 8, emb_size 4, global_context True), of x.ckpt",
        "not used: channels 512 of the configuration: the checkpoint sets the model",
    ]


def test_keys_of_the_command_line_that_contradict_the_checkpoint_are_refused_with_both_cures():
    config = load_config(Config, ["--channels=16", "--inChannels=80", "--emb_size=4"])
    with pytest.raises(InputError) as caught:
        take_settings(config, SETTINGS, "x.ckpt")
    assert str(caught.value) == (
        "x.ckpt: the checkpoint has ecapa_tdnn (in_channels 8, channels 8, emb_size 4, global_context True); the "
        "command line says --inChannels=80, --channels=16. Leave that out, because the checkpoint sets it; or name "
        "another checkpoint."
    )


def test_load_model_takes_the_last_checkpoint_of_a_folder(saved, tmp_path):
    path, model = saved
    (tmp_path / "train_ecapa_vox12-1_9.ckpt").write_bytes(b"an older one, which is not read")
    shutil.copyfile(path, tmp_path / "train_ecapa_vox12-2_10.ckpt")
    loaded, meta = load_model(tmp_path)
    assert meta == META
    np.testing.assert_array_equal(loaded.fc.bias.asnumpy(), model.fc.bias.asnumpy())


def test_a_folder_without_a_runs_checkpoint_says_what_it_holds(saved):
    path, _ = saved
    with pytest.raises(InputError, match=r"in this folder. It holds a.ckpt: give the path"):
        load_model(path.parent)


def test_unknown_model_is_refused():
    with pytest.raises(InputError, match="expected one of campplus, ecapa_joovvhan, ecapa_tdnn"):
        create_model({"name": "x-vector"})


def test_folder_means_its_checkpoint_of_most_steps(tmp_path):
    for epoch, step in ((1, 9), (2, 100), (2, 20)):
        checkpoint_path(tmp_path, "ecapa_tdnn", epoch, step).touch()
    assert find_checkpoint(tmp_path).name == "train_ecapa_vox12-2_100.ckpt"


def test_folder_without_checkpoints_is_refused(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        find_checkpoint(tmp_path)
