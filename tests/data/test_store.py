"""What the stores have in common."""

import errno
import json
from collections import namedtuple

import pytest

from mindvox.data.store import check_free_space, explain_full_disk, holds_store
from mindvox.errors import InputError

Usage = namedtuple("Usage", "total used free")
MADE_FROM = {"front_end": {"n_mels": 80, "n_fft": 400}, "settings": {"seed": 1}}


def test_folder_without_the_last_file_holds_no_store(tmp_path):
    assert not holds_store(tmp_path / "nowhere", "meta.json", MADE_FROM, "feat_folder")
    (tmp_path / "feats.npy").write_text("")
    assert not holds_store(tmp_path, "meta.json", MADE_FROM, "feat_folder")


def test_store_made_from_the_same_things_is_kept(tmp_path):
    (tmp_path / "meta.json").write_text(json.dumps({**MADE_FROM, "num_utterances": 3}))
    assert holds_store(tmp_path, "meta.json", MADE_FROM, "feat_folder")


def test_store_made_from_other_things_is_an_error_that_names_them(tmp_path):
    (tmp_path / "meta.json").write_text(json.dumps(MADE_FROM))
    wanted = {"front_end": {"n_mels": 40, "n_fft": 400}, "settings": {"seed": 1, "random_chunk": True}}
    with pytest.raises(InputError, match="n_mels 80, now 40; random_chunk None, now True") as caught:
        holds_store(tmp_path, "meta.json", wanted, "feat_folder")
    assert "choose another feat_folder" in str(caught.value)
    assert "n_fft" not in str(caught.value)


def test_last_file_of_another_form_is_an_error(tmp_path):
    (tmp_path / "meta.json").write_text("[]")
    with pytest.raises(InputError, match="n_mels None"):
        holds_store(tmp_path, "meta.json", {"n_mels": 80}, "feat_folder")


def test_too_little_room_says_how_much_is_needed_and_there(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**9, 8 * 10**8, 2 * 10**8))
    check_free_space(tmp_path / "not" / "yet" / "made", 10**8)
    with pytest.raises(InputError, match=r"needs 3\.000 GB, has 0\.200 GB"):
        check_free_space(tmp_path / "not" / "yet" / "made", 3 * 10**9)


def test_other_failures_to_write_are_passed_on(tmp_path):
    with pytest.raises(PermissionError), explain_full_disk(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")
