"""The mean of a run's last checkpoints."""

import numpy as np
import pytest
from mindspore import Parameter, Tensor

from mindvox.errors import InputError, UsageError
from mindvox.models.checkpoint import checkpoint_path, read_checkpoint, write_checkpoint
from mindvox.training.average_checkpoints import main

META = {"model": {"name": "toy"}, "front_end": {"n_mels": 8}, "speakers_sha256": "a", "sub_centers": 1}


def write(folder, step, value=None, shape=(2, 3), names=("model.a", "loss.weight", "opt.moment1.a", "ema.a"), **meta):
    arrays = {name: np.full(shape, step if value is None else value, np.float32) for name in names}
    arrays["model.count"] = np.array(step, np.int32)
    path = checkpoint_path(folder, "ecapa_tdnn", 1, step)
    parameters = {name: Parameter(Tensor(array), name=name) for name, array in arrays.items()}
    meta["position"] = {"step": step}
    write_checkpoint(path, parameters, {**META, "epoch": 1, "step": step, **meta})
    return path


def test_mean_of_the_last_is_written_with_the_last_ones_meta(tmp_path, capsys):
    for step in (1, 20, 3, 100):
        write(tmp_path, step)
    target = tmp_path / "average.ckpt"
    assert main([str(tmp_path), "--last=3", f"--to={target}"]) == 0
    assert "3 checkpoints, train_ecapa_vox12-1_3.ckpt to train_ecapa_vox12-1_100.ckpt" in capsys.readouterr().out
    arrays, meta = read_checkpoint(target)
    assert set(arrays) == {"model.a", "loss.weight", "model.count"}
    np.testing.assert_array_equal(arrays["model.a"], np.full((2, 3), 41, np.float32))
    assert arrays["model.count"] == 100 and arrays["model.count"].dtype == np.int32
    assert meta["step"] == 100 and meta["model"] == {"name": "toy"}
    assert "position" not in meta  # nothing to resume
    assert meta["averaged"] == [f"train_ecapa_vox12-1_{step}.ckpt" for step in (3, 20, 100)]


def test_mean_is_exact_where_single_precision_would_not_be(tmp_path):
    for step, value in enumerate((2**24, 1, 1, 2), start=1):
        write(tmp_path, step, value)
    main([str(tmp_path), "--last=4", f"--to={tmp_path / 'average.ckpt'}"])
    arrays, _ = read_checkpoint(tmp_path / "average.ckpt")
    np.testing.assert_array_equal(arrays["model.a"], np.full((2, 3), 2**22 + 1, np.float32))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"shape": (3, 3)}, "differ in loss.weight, model.a"),
        ({"names": ("model.a",)}, "differ in loss.weight"),
        ({"speakers_sha256": "b"}, "differ in speakers_sha256"),
        ({"model": {"name": "other"}}, "differ in model"),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, other, said):
    write(tmp_path, 1)
    write(tmp_path, 2, **other)
    with pytest.raises(InputError, match=rf"12-1_2.ckpt: not of the same run as .*{said}"):
        main([str(tmp_path), "--last=2", f"--to={tmp_path / 'average.ckpt'}"])
    assert not (tmp_path / "average.ckpt").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["--last=3", "--to=average.ckpt"], InputError, "2 checkpoints, fewer than --last 3"),
        (["--last=0", "--to=average.ckpt"], UsageError, "--last: expected at least 1"),
        (["--last=2", "--to=average.bin"], UsageError, "--to: expected a name such as average.ckpt"),
        (["--last=2", "--to=train_ecapa_vox12-1_3.ckpt"], UsageError, "--to: expected a name such as average.ckpt"),
    ],
)
def test_wrong_arguments_are_one_clear_line(tmp_path, arguments, error, said):
    write(tmp_path, 1)
    write(tmp_path, 2)
    with pytest.raises(error, match=said):
        main([str(tmp_path), *arguments])
    with pytest.raises(InputError, match="no such folder"):
        main([str(tmp_path / "nowhere"), "--to=average.ckpt"])


def test_damaged_checkpoint_is_refused(tmp_path):
    write(tmp_path, 1)
    write(tmp_path, 2).write_bytes(b"torn")
    with pytest.raises(InputError, match="not a whole MindSpore checkpoint"):
        main([str(tmp_path), "--last=2", f"--to={tmp_path / 'average.ckpt'}"])
