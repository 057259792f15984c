"""The training store: what is written is read, and nothing half-written is taken for a store."""

import errno
import json
import os
import stat
from collections import namedtuple

import mindspore.dataset as ds
import numpy as np
import pytest
from mindspore.mindrecord import FileWriter

from mindvox.corpus.table_io import read_speakers
from mindvox.corpus.tree import Skipped
from mindvox.data import train_store
from mindvox.data.train_store import (
    Shard,
    TrainStoreWriter,
    read_manifest,
    shard_paths,
    verify_shards,
)
from mindvox.errors import InputError
from mindvox.files import sha256_file
from mindvox.frontend.fbank import Fbank
from tests.stores import read_records

FRONT_END = Fbank().to_dict()
SPEAKERS = {"id1": 0, "id2": 1}
Usage = namedtuple("Usage", "total used free")


def feats_of(number: int, num_frames: int = 7) -> np.ndarray:
    return np.random.default_rng(number).standard_normal((num_frames, 80)).astype(np.float32)


def write_store(folder, lengths=(7, 7, 3, 12, 5), **options):
    with TrainStoreWriter(folder, FRONT_END, SPEAKERS, **options) as writer:
        for number, length in enumerate(lengths):
            writer.add(f"utt{number}", number % 2, feats_of(number, length))
    return writer


def test_records_come_back_in_order_with_their_values(tmp_path):
    write_store(tmp_path, lengths=range(1, 41), shard_utterances=15)
    records = list(read_records(tmp_path))
    assert [record.utt_id for record in records] == [f"utt{number}" for number in range(40)]
    assert [record.label for record in records] == [number % 2 for number in range(40)]
    for number, record in enumerate(records):
        np.testing.assert_array_equal(record.feats, feats_of(number, number + 1))
        assert record.feats.dtype == np.float32


def test_manifest_says_what_is_there(tmp_path):
    with TrainStoreWriter(tmp_path, FRONT_END, SPEAKERS, 2, {"seed": 1}) as writer:
        for number in range(5):
            writer.add(f"utt{number}", 0, feats_of(number))
        writer.skipped.append(Skipped("id1/a/9.wav", "no samples"))
    manifest = read_manifest(tmp_path)
    assert (manifest.kind, manifest.front_end, manifest.settings) == ("fbank", FRONT_END, {"seed": 1})
    assert (manifest.num_utterances, manifest.num_frames, manifest.num_speakers) == (5, 35, 2)
    assert [shard.num_utterances for shard in manifest.shards] == [2, 2, 1]
    assert [shard.file for shard in manifest.shards] == [f"shard-0000{number}.mindrecord" for number in range(3)]
    assert manifest.skipped == [Skipped("id1/a/9.wav", "no samples")]
    assert manifest.speakers_sha256 == sha256_file(tmp_path / "speakers.csv")
    assert read_speakers(tmp_path / "speakers.csv") == SPEAKERS
    verify_shards(tmp_path, manifest)


def test_mindspore_reads_all_files_together(tmp_path):
    write_store(tmp_path, shard_utterances=2)
    dataset = ds.MindDataset(shard_paths(tmp_path), shuffle=True)
    assert dataset.get_dataset_size() == 5
    names = {str(row["utt_id"]) for row in dataset.create_dict_iterator(num_epochs=1, output_numpy=True)}
    assert names == {f"utt{number}" for number in range(5)}


def test_store_can_be_moved(tmp_path):
    write_store(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    assert len(list(read_records(tmp_path / "there"))) == 5
    assert str(tmp_path) not in (tmp_path / "there" / "manifest.json").read_text()


def test_small_stores_are_small(tmp_path):
    write_store(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 10e6


def test_long_utterances_get_larger_pages_in_a_file_of_their_own(tmp_path):
    write_store(tmp_path, lengths=(7, 20000, 7))
    assert [shard.num_utterances for shard in read_manifest(tmp_path).shards] == [1, 2]
    np.testing.assert_array_equal(list(read_records(tmp_path))[1].feats, feats_of(1, 20000))


@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_utterances_as_large_as_a_page_are_kept(tmp_path, monkeypatch, spare):
    monkeypatch.setattr(train_store, "PAGE_BYTES", 1 << 15)
    num_frames = ((1 << 15) - train_store.PAGE_OVERHEAD_BYTES) // 256 + spare  # of 64 mel bins, 256 bytes
    with TrainStoreWriter(tmp_path, Fbank(n_mels=64).to_dict(), SPEAKERS) as writer:
        for number in range(3):
            writer.add(f"utt{number}", 0, feats_of(number, num_frames)[:, :64])
    assert [record.feats.shape for record in read_records(tmp_path)] == [(num_frames, 64)] * 3


def test_utterances_beyond_the_largest_page_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(train_store, "MAX_PAGE_BYTES", train_store.PAGE_BYTES)
    with pytest.raises(InputError, match="utt0: a record of 6 MB is more than a MindRecord page can hold"):
        write_store(tmp_path, lengths=(20000,))


def test_files_end_before_their_header_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(train_store, "MAX_SHARD_BYTES", 3 * 7 * 320)
    write_store(tmp_path, lengths=[7] * 7)
    assert [shard.num_utterances for shard in read_manifest(tmp_path).shards] == [3, 3, 1]


def test_header_has_room_for_the_pages_of_the_largest_file(tmp_path, monkeypatch):
    # The worst case in small: header and number of pages a 64th, a page a 128th, each with one row of over half of it.
    for name, divisor in (("HEADER_BYTES", 64), ("PAGE_BYTES", 128), ("MAX_SHARD_BYTES", 64 * 128)):
        monkeypatch.setattr(train_store, name, getattr(train_store, name) // divisor)
    write_store(tmp_path, lengths=[52] * 160)
    assert len(list(read_records(tmp_path))) == 160


def test_files_have_the_usual_permissions(tmp_path):
    umask = os.umask(0o022)
    try:
        write_store(tmp_path)
    finally:
        os.umask(umask)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o644}


@pytest.mark.parametrize(
    ("label", "feats", "message"),
    [
        (0, feats_of(0).astype(np.float64), r"expected float32 \(T, 80\)"),
        (0, feats_of(0)[:, :40], r"expected float32 \(T, 80\)"),
        (0, feats_of(0)[:0], "T >= 1"),
        (0, np.full((3, 80), np.nan, np.float32), "finite"),
        (2, feats_of(0), "expected a label below 2, got 2"),
    ],
)
def test_records_that_mindrecord_would_drop_are_refused(tmp_path, label, feats, message):
    with pytest.raises(ValueError, match=message), TrainStoreWriter(tmp_path, FRONT_END, SPEAKERS) as writer:
        writer.add("utt", label, feats)


def test_rows_that_mindrecord_refuses_are_noticed(tmp_path, monkeypatch):
    write = FileWriter.write_raw_data
    monkeypatch.setattr(FileWriter, "write_raw_data", lambda self, rows: (rows.pop(), write(self, rows)))
    with pytest.raises(RuntimeError, match="MindRecord refused 1 of 5 rows"):
        write_store(tmp_path)
    assert not (tmp_path / "manifest.json").exists()


def test_records_that_are_not_in_the_file_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(FileWriter, "write_raw_data", lambda self, rows: None)
    with pytest.raises(RuntimeError, match="MindRecord stored 0 of 5 records"):
        write_store(tmp_path)
    assert not (tmp_path / "manifest.json").exists()


def test_failure_leaves_no_store_and_no_files(tmp_path):
    with pytest.raises(KeyboardInterrupt), TrainStoreWriter(tmp_path, FRONT_END, SPEAKERS, 1) as writer:
        writer.add("utt0", 0, feats_of(0))
        writer.add("utt1", 0, feats_of(1))
        raise KeyboardInterrupt
    assert {path.name for path in tmp_path.iterdir()} <= {"speakers.csv"}
    with pytest.raises(InputError, match="not a complete training store"):
        read_manifest(tmp_path)


def test_leftovers_of_a_killed_run_are_replaced_and_other_files_stay(tmp_path):
    for name in ("shard-00000.mindrecord", "shard-00007.mindrecord.db", "notes.txt"):
        (tmp_path / name).write_text("old")
    write_store(tmp_path)
    assert len(list(read_records(tmp_path))) == 5
    assert not (tmp_path / "shard-00007.mindrecord.db").exists()
    assert (tmp_path / "notes.txt").read_text() == "old"


def test_a_store_that_is_written_anew_is_none_until_it_is_complete(tmp_path):
    write_store(tmp_path)
    with TrainStoreWriter(tmp_path, FRONT_END, SPEAKERS) as writer:
        assert not (tmp_path / "manifest.json").exists()
        writer.add("utt0", 0, feats_of(0))
    assert read_manifest(tmp_path).num_utterances == 1


def test_labels_out_of_order_are_refused(tmp_path):
    with pytest.raises(ValueError, match="in the order of their ids"):
        TrainStoreWriter(tmp_path, FRONT_END, {"id1": 1, "id2": 0})


def test_store_without_records_is_an_error(tmp_path):
    with pytest.raises(InputError, match="nothing to store"):
        write_store(tmp_path, lengths=())


@pytest.mark.parametrize(
    "failure",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("[ERROR] No free disk to be used")],
    ids=["system", "MindRecord"],
)
def test_full_disk_is_one_clear_error(tmp_path, monkeypatch, failure):
    def write(self, rows):
        raise failure

    monkeypatch.setattr(FileWriter, "write_raw_data", write)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(InputError, match="the disk is full"):
        write_store(tmp_path)
    assert not (tmp_path / "manifest.json").exists()


def test_other_failures_of_mindrecord_keep_their_traceback(tmp_path, monkeypatch):
    def write(self, rows):
        raise RuntimeError("something else")

    monkeypatch.setattr(FileWriter, "write_raw_data", write)
    with pytest.raises(RuntimeError, match="something else"):
        write_store(tmp_path)


def test_missing_folder_is_no_store(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: not a complete training store: no manifest\.json"):
        read_manifest(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["shard-00000.mindrecord", "shard-00000.mindrecord.db"])
def test_missing_files_are_noticed(tmp_path, name):
    write_store(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=r"shard-00000\.mindrecord: missing, or its \.db is"):
        read_manifest(tmp_path)


def test_cut_files_are_noticed(tmp_path):
    write_store(tmp_path)
    with open(tmp_path / "shard-00000.mindrecord", "r+b") as stream:
        stream.truncate(1000)
    with pytest.raises(InputError, match=r"expected \d+ bytes, got 1000"):
        read_manifest(tmp_path)


def test_damaged_files_are_found_by_their_sha256(tmp_path):
    write_store(tmp_path)
    with open(tmp_path / "shard-00000.mindrecord", "r+b") as stream:
        stream.seek(-1000, os.SEEK_END)
        stream.write(b"x")
    with pytest.raises(InputError, match="damaged"):
        verify_shards(tmp_path, read_manifest(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "expected format_version 1, got 2"),
        ({"shards": [{"file": "x"}]}, "not a manifest of a training store"),
        ({"unknown": 1}, "not a manifest of a training store"),
    ],
)
def test_manifests_of_another_form_are_refused(tmp_path, change, message):
    write_store(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=message):
        read_manifest(tmp_path)


def test_shards_are_listed_with_their_folder(tmp_path):
    write_store(tmp_path, shard_utterances=3)
    assert shard_paths(tmp_path) == [str(tmp_path / f"shard-0000{number}.mindrecord") for number in range(2)]
    assert all(isinstance(shard, Shard) for shard in read_manifest(tmp_path).shards)
