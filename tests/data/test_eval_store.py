"""The evaluation store: what is written is read, the same content has the same identity, damage is noticed."""

import errno
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from mindvox.corpus.tree import Skipped
from mindvox.data.eval_store import EvalStore, EvalStoreWriter
from mindvox.errors import InputError
from mindvox.frontend.fbank import Fbank

FRONT_END = Fbank().to_dict()
LENGTHS = (5, 1, 9)


def feats_of(number: int, num_frames: int) -> np.ndarray:
    return np.random.default_rng(number).standard_normal((num_frames, 80)).astype(np.float32)


def write_store(folder, lengths=LENGTHS, first=0, **options):
    with EvalStoreWriter(folder, FRONT_END, **options) as writer:
        for number, length in enumerate(lengths):
            writer.add(f"id{number}/a, b/é.wav", f"id{number}", feats_of(first + number, length))
    return folder


def test_utterances_come_back_by_row_with_their_values(tmp_path):
    store = EvalStore.open(write_store(tmp_path / "store"))
    assert len(store) == 3
    assert store.utt_ids == [f"id{number}/a, b/é.wav" for number in range(3)]
    assert store.spk_ids == ["id0", "id1", "id2"]
    assert list(store.num_frames) == list(LENGTHS)
    assert store.front_end == FRONT_END
    for row, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(store.feats(row), feats_of(row, length))


def test_features_are_read_from_the_file_when_needed_and_not_written(tmp_path):
    store = EvalStore.open(write_store(tmp_path))
    assert isinstance(store.frames, np.memmap)
    assert not store.feats(0).flags.writeable


def test_features_are_one_plain_npy_file(tmp_path):
    write_store(tmp_path)
    frames = np.load(tmp_path / "feats.npy")
    np.testing.assert_array_equal(frames, np.concatenate([feats_of(row, length) for row, length in enumerate(LENGTHS)]))
    assert (tmp_path / "index.csv").read_text().splitlines()[:2] == [
        "utt_id,spk_id,first_frame,num_frames",
        '"id0/a, b/é.wav",id0,0,5',
    ]


def test_features_that_are_a_view_are_stored_in_their_order(tmp_path):
    feats = feats_of(0, 12)
    with EvalStoreWriter(tmp_path, FRONT_END) as writer:
        writer.add("forward", "id0", feats[::2])
        writer.add("transposed", "id0", np.asfortranarray(feats))
    store = EvalStore.open(tmp_path)
    np.testing.assert_array_equal(store.feats(0), feats[::2])
    np.testing.assert_array_equal(store.feats(1), feats)


def test_identity_is_that_of_the_content_wherever_it_lies(tmp_path):
    one = EvalStore.open(write_store(tmp_path / "one", settings={"seed": 1})).sha256
    assert EvalStore.open(write_store(tmp_path / "two", settings={"seed": 2})).sha256 == one
    shutil.move(tmp_path / "one", tmp_path / "moved")
    assert EvalStore.open(tmp_path / "moved").sha256 == one
    assert EvalStore.open(write_store(tmp_path / "other", first=1)).sha256 != one
    assert EvalStore.open(write_store(tmp_path / "shorter", lengths=LENGTHS[:2])).sha256 != one


def test_trial_list_is_copied_in_under_its_own_name(tmp_path):
    (tmp_path / "veri_test2.txt").write_text("1 a b\n")
    folder = write_store(tmp_path / "store", trial_list=tmp_path / "veri_test2.txt")
    assert (folder / "veri_test2.txt").read_text() == "1 a b\n"
    assert json.loads((folder / "meta.json").read_text())["trial_list"] == "veri_test2.txt"


def test_trial_list_that_lies_in_the_folder_already_stays(tmp_path):
    (tmp_path / "trials.txt").write_text("1 a b\n")
    write_store(tmp_path, trial_list=tmp_path / "trials.txt")
    assert (tmp_path / "trials.txt").read_text() == "1 a b\n"


def test_skipped_recordings_are_listed(tmp_path):
    with EvalStoreWriter(tmp_path, FRONT_END) as writer:
        writer.add("a", "id0", feats_of(0, 3))
        writer.skipped.append(Skipped("b", "no samples"))
    assert json.loads((tmp_path / "meta.json").read_text())["skipped"] == [{"utt_id": "b", "reason": "no samples"}]


@pytest.mark.parametrize(
    "feats",
    [np.zeros((3, 40), np.float32), np.zeros((3, 80)), np.zeros((0, 80), np.float32), np.full((3, 80), np.inf, "f")],
    ids=["mel bins", "double", "no frames", "infinite"],
)
def test_wrong_features_are_refused(tmp_path, feats):
    with pytest.raises(ValueError, match="expected"), EvalStoreWriter(tmp_path, FRONT_END) as writer:
        writer.add("a", "id0", feats)


def test_an_utterance_stands_once(tmp_path):
    with (
        pytest.raises(ValueError, match="a: expected each utterance once"),
        EvalStoreWriter(tmp_path, FRONT_END) as writer,
    ):
        writer.add("a", "id0", feats_of(0, 3))
        writer.add("a", "id0", feats_of(0, 3))


def test_a_store_that_is_written_anew_is_none_until_it_is_complete(tmp_path):
    write_store(tmp_path)
    with EvalStoreWriter(tmp_path, FRONT_END) as writer:
        assert not (tmp_path / "meta.json").exists()
        writer.add("a", "id0", feats_of(0, 3))
    assert len(EvalStore.open(tmp_path)) == 1


def test_store_without_utterances_is_an_error(tmp_path):
    with pytest.raises(InputError, match="nothing to store"):
        write_store(tmp_path, lengths=())


def test_failure_leaves_no_store_and_other_files_as_they_were(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(KeyboardInterrupt), EvalStoreWriter(tmp_path, FRONT_END) as writer:
        writer.add("a", "id0", feats_of(0, 3))
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_full_disk_is_one_clear_error(tmp_path):
    class FullDisk:
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    with (
        pytest.raises(InputError, match="the disk is full"),
        EvalStoreWriter(tmp_path, FRONT_END) as writer,
    ):
        writer._stream.close()
        writer._stream = FullDisk()
        writer.add("a", "id0", feats_of(0, 3))
    assert not any(tmp_path.iterdir())


def test_missing_folder_is_no_store(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: not a complete store: no meta\.json"):
        EvalStore.open(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["feats.npy", "index.csv"])
def test_missing_files_are_noticed(tmp_path, name):
    (write_store(tmp_path) / name).unlink()
    with pytest.raises(InputError, match=f"{name}: no such (csv )?file"):
        EvalStore.open(tmp_path)


@pytest.mark.parametrize("num_bytes", [0, 50, 128 + 320])
def test_cut_features_are_noticed(tmp_path, num_bytes):
    write_store(tmp_path)
    with open(tmp_path / "feats.npy", "r+b") as stream:
        stream.truncate(num_bytes)
    with pytest.raises(InputError, match=r"feats\.npy: damaged"):
        EvalStore.open(tmp_path)


@pytest.mark.parametrize("frames", [np.zeros((14, 80), "f"), np.zeros((15, 40), "f"), np.zeros((15, 80)), np.zeros(9)])
def test_features_that_do_not_fit_the_index_are_noticed(tmp_path, frames):
    np.save(write_store(tmp_path) / "feats.npy", frames)
    with pytest.raises(InputError, match=r"expect float32 \(15, 80\)"):
        EvalStore.open(tmp_path)


@pytest.mark.parametrize("rows", ["a,id0,0,5\nb,id1,6,1\n", "a,id0,0,0\n", "a,id0,0,x\n", "a,id0,-1,5\n", ""])
def test_index_without_gaps_is_required(tmp_path, rows):
    (write_store(tmp_path) / "index.csv").write_text("utt_id,spk_id,first_frame,num_frames\n" + rows)
    with pytest.raises(InputError, match=r"index\.csv"):
        EvalStore.open(tmp_path)


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("[]", "not the description of a store"),
        ('{"format_version": 1}', "not the description of a store"),
        ('{"format_version": 2, "sha256": "", "front_end": {"n_mels": 80}}', "expected format_version 1, got 2"),
        ("{", "expected JSON"),
    ],
)
def test_descriptions_of_another_form_are_refused(tmp_path, meta, message):
    (write_store(tmp_path) / "meta.json").write_text(meta)
    with pytest.raises(InputError, match=message):
        EvalStore.open(tmp_path)


def resident_kib() -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def test_pages_that_were_read_can_be_released_and_read_again(tmp_path):
    store = EvalStore.open(write_store(tmp_path, lengths=(200000,)))  # 61 MiB
    before = resident_kib()
    total = store.feats(0).sum(dtype=np.float64)
    assert resident_kib() > before + 40000
    store.release()
    assert resident_kib() < before + 20000
    assert store.feats(0).sum(dtype=np.float64) == total
