"""Joining stores that were prepared in parts."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from mindvox.corpus.tree import Skipped
from mindvox.data.merge import merge_stores
from mindvox.data.prepare import prepare_train
from mindvox.data.train_store import TrainStoreWriter, read_manifest
from mindvox.errors import InputError, UsageError
from mindvox.frontend.fbank import Fbank
from tests.stores import read_records

SPEAKERS = {"id1": 0, "id2": 1}


def feats_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).standard_normal((5 + number, 80)).astype(np.float32)


def write_part(folder: Path, numbers, n_mels=80, speakers=SPEAKERS, settings=None) -> None:
    front_end = Fbank(n_mels=n_mels).to_dict()
    with TrainStoreWriter(folder, front_end, speakers, 3, settings or {"seed": 1}) as writer:
        for number in numbers:
            writer.add(f"utt{number}", number % 2, feats_of(number)[:, :n_mels])
        writer.skipped.append(Skipped(f"bad in {folder.name}", "no samples"))


def test_parts_become_one_store_with_new_files(train_config, tmp_path):
    config = train_config("--shard_utterances=4")
    write_part(Path(config.feat_folder, "part-1"), range(5, 10))
    write_part(Path(config.feat_folder, "part-0"), range(5))
    merge_stores(config)
    records = list(read_records(config.feat_folder_merge))
    assert [record.utt_id for record in records] == [f"utt{number}" for number in range(10)]
    assert [record.label for record in records] == [number % 2 for number in range(10)]
    for number, record in enumerate(records):
        np.testing.assert_array_equal(record.feats, feats_of(number))
    manifest = read_manifest(config.feat_folder_merge)
    assert [shard.num_utterances for shard in manifest.shards] == [4, 4, 2]
    assert manifest.front_end == Fbank().to_dict()
    assert [entry.utt_id for entry in manifest.skipped] == ["bad in part-0", "bad in part-1"]


def test_store_of_train_data_prepare_is_shared_out_anew(train_config):
    config = train_config("--shard_utterances=7")
    prepare_train(config)
    merge_stores(train_config("--shard_utterances=100"))
    manifest = read_manifest(config.feat_folder_merge)
    assert Path(config.feat_folder_merge) == Path(config.feat_folder, "merged")
    assert (manifest.num_utterances, len(manifest.shards)) == (20, 1)
    source = read_manifest(config.feat_folder)
    assert len(source.shards) == 3
    assert manifest.speakers_sha256 == source.speakers_sha256


def test_second_run_keeps_the_merged_store(train_config, capsys):
    config = train_config()
    write_part(Path(config.feat_folder), range(5))
    merge_stores(config)
    merge_stores(config)
    assert "already merged, 5 records" in capsys.readouterr().out


def test_merged_store_of_other_parts_is_an_error(train_config):
    config = train_config()
    write_part(Path(config.feat_folder, "part-0"), range(5))
    merge_stores(config)
    write_part(Path(config.feat_folder, "part-1"), range(5, 10))
    with pytest.raises(InputError, match="merged_sha256.*choose another feat_folder_merge"):
        merge_stores(config)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"n_mels": 40}, "front_end"),
        ({"speakers": {"id1": 0, "id3": 1}}, "speakers_sha256"),
        ({"settings": {"seed": 2}}, "settings"),
    ],
)
def test_parts_that_were_made_differently_are_refused(train_config, other, named):
    config = train_config()
    write_part(Path(config.feat_folder, "part-0"), range(5))
    write_part(Path(config.feat_folder, "part-1"), range(5, 10), **other)
    with pytest.raises(InputError, match=rf"part-1: another {named} than .*part-0"):
        merge_stores(config)


def test_a_record_in_two_parts_is_refused_and_nothing_is_left(train_config):
    config = train_config()
    write_part(Path(config.feat_folder, "part-0"), range(5))
    write_part(Path(config.feat_folder, "part-1"), range(4, 10))
    with pytest.raises(InputError, match="part-1: 'utt4' is also in another"):
        merge_stores(config)
    assert not list(Path(config.feat_folder_merge).glob("*.mindrecord"))


def test_damaged_parts_are_refused(train_config):
    config = train_config()
    write_part(Path(config.feat_folder, "part-0"), range(5))
    with open(Path(config.feat_folder, "part-0", "shard-00000.mindrecord"), "r+b") as stream:
        stream.seek(-100, os.SEEK_END)
        stream.write(b"x")
    with pytest.raises(InputError, match="damaged"):
        merge_stores(config)


def test_parts_with_fewer_records_than_they_say_are_refused(train_config):
    config = train_config()
    write_part(Path(config.feat_folder, "part-0"), range(5))
    path = Path(config.feat_folder, "part-0", "manifest.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_utterances": 6}))
    with pytest.raises(InputError, match="says 6 records, got 5"):
        merge_stores(config)


def test_unfinished_parts_are_refused(train_config):
    config = train_config()
    write_part(Path(config.feat_folder, "part-0"), range(5))
    Path(config.feat_folder, "part-1").mkdir()
    with pytest.raises(InputError, match="part-1: not a complete training store"):
        merge_stores(config)


def test_nothing_to_merge_is_an_error(train_config):
    with pytest.raises(InputError, match="no complete training store here or in sub-folders part-"):
        merge_stores(train_config())


def test_a_store_is_not_merged_into_itself(train_config):
    config = train_config()
    write_part(Path(config.feat_folder), range(5))
    with pytest.raises(UsageError, match="one of the stores to join"):
        merge_stores(train_config(f"--feat_folder_merge={config.feat_folder}"))
    assert read_manifest(config.feat_folder).num_utterances == 5
