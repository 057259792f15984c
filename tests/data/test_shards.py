"""Stores that are made shard by shard: what is there is kept, what is not sound is made again, nothing is mixed."""

import json
import os
from pathlib import Path

import pytest

from mindvox.corpus.tables import make_train_tables
from mindvox.data import shards
from mindvox.data.prepare import prepare_train
from mindvox.data.prepare_eval import prepare_eval
from mindvox.data.train_store import read_manifest
from mindvox.errors import InputError
from tests.stores import read_records


@pytest.fixture
def config(train_config):
    """Twenty records in five shards."""
    return train_config("--shard_utterances=4")


def names(store) -> list[str]:
    return [record.utt_id for record in read_records(store)]


@pytest.fixture
def made(monkeypatch) -> list[int]:
    """Numbers of the shards that are made."""
    numbers = []
    make = shards._ShardMaker.make
    monkeypatch.setattr(shards._ShardMaker, "make", lambda self: numbers.append(self.job.range.index) or make(self))
    return numbers


@pytest.fixture
def unfinished(config, made) -> Path:
    """A store whose last step was not done."""
    prepare_train(config)
    made.clear()
    (Path(config.feat_folder) / "manifest.json").unlink()
    return Path(config.feat_folder)


def test_finished_shards_are_kept(config, unfinished, made):
    prepare_train(config)
    assert made == []
    assert read_manifest(unfinished).num_utterances == 20


def drop_marker(store):
    (store / "shard-00002.json").unlink()


def spoil_marker(store):
    (store / "shard-00002.json").write_text("{")


def mark_other_plan(store):
    path = store / "shard-00002.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "plan_sha256": "0" * 64}))


def drop_data(store):
    (store / "shard-00002.mindrecord").unlink()


def drop_index(store):
    (store / "shard-00002.mindrecord.db").unlink()


def cut_data(store):
    os.truncate(store / "shard-00002.mindrecord", 1000)


@pytest.mark.parametrize("spoil", [drop_marker, spoil_marker, mark_other_plan, drop_data, drop_index, cut_data])
def test_shards_that_are_not_sound_are_made_again(config, unfinished, made, spoil):
    before = {path.name: path.read_bytes() for path in unfinished.iterdir()}
    spoil(unfinished)
    prepare_train(config)
    assert made == [2]
    after = {path.name: path.read_bytes() for path in unfinished.iterdir() if path.name != "manifest.json"}
    assert after == before


def test_leftovers_of_killed_processes_are_removed(config, unfinished):
    (unfinished / ".shard-00001.mindrecord.abc").mkdir()
    (unfinished / ".shard-00001.mindrecord.abc" / "shard-00001.mindrecord").write_text("half")
    (unfinished / ".shard-00001.xyz.json").write_text("{")
    prepare_train(config)
    assert not list(unfinished.glob(".*"))


@pytest.mark.parametrize("change", ["--shard_utterances=5", "--n_mels=40", "--seed=9", "--max_clipped_fraction=0.3"])
def test_unfinished_store_is_not_mixed_with_other_settings(config, unfinished, train_config, change):
    with pytest.raises(InputError, match="holds data prepared from other things.* choose another feat_folder"):
        prepare_train(train_config("--shard_utterances=4", "--skip_prep=true", change))


def test_parts_make_their_shards_and_the_last_completes_the_store(train_config, made, capsys):
    first, second = (train_config("--shard_utterances=4", f"--part={number}/2") for number in (1, 2))
    prepare_train(second)
    assert made == [1, 3]
    assert "part 2/2 is finished; 3 of 5 shards are still missing" in capsys.readouterr().out
    with pytest.raises(InputError, match="not a complete training store"):
        read_manifest(first.feat_folder)
    prepare_train(first)
    assert made == [1, 3, 0, 2, 4]
    assert len(names(first.feat_folder)) == 20


def test_shard_without_usable_recordings_has_no_file(config, corpus, train_config):
    for path in sorted(corpus.rglob("*.wav"))[4:8]:
        size = path.stat().st_size
        path.write_bytes(path.read_bytes()[:44] + bytes(size - 44))  # silence: its header is sound
    config = train_config("--shard_utterances=4", "--max_bad_fraction=0.5")
    prepare_train(config)
    manifest = read_manifest(config.feat_folder)
    assert [shard.file[6:11] for shard in manifest.shards] == ["00000", "00002", "00003", "00004"]
    assert len(manifest.skipped) == 4
    prepare_train(train_config("--shard_utterances=4", "--max_bad_fraction=0.5", "--verify"))


def test_recording_that_two_shards_share_is_skipped_once(corpus, train_config):
    path = sorted(corpus.rglob("*.wav"))[2]
    path.write_bytes(path.read_bytes()[:44] + bytes(path.stat().st_size - 44))
    config = train_config("--shard_utterances=4", "--number_of_epochs=5", "--max_bad_fraction=0.5")
    prepare_train(config)
    manifest = read_manifest(config.feat_folder)
    assert len(manifest.skipped) == 1
    assert manifest.num_utterances == 95


def test_estimate_and_progress_are_printed(config, capsys):
    prepare_train(config)
    output = capsys.readouterr().out
    assert "5 of 5 shards to make: 20 records, at most 0." in output
    assert "GB free)" in output
    assert "about 0:00:00 on 1 core" in output
    assert "shard-00003.mindrecord: 4 records; 16/20 utterances, " in output


def test_verify_accepts_a_sound_store(config, train_config, capsys):
    prepare_train(config)
    prepare_train(train_config("--verify"))
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.endswith("verified: 20 records (fbank) of 5 speakers in 5 shards, 0 recordings skipped")


@pytest.mark.parametrize("name", ["shard-00001.mindrecord", "shard-00001.mindrecord.db", "speakers.csv"])
def test_verify_finds_a_changed_byte(config, train_config, name):
    prepare_train(config)
    with open(Path(config.feat_folder, name), "r+b") as stream:
        stream.seek(-5, os.SEEK_END)
        byte = stream.read(1)
        stream.seek(-5, os.SEEK_END)
        stream.write(bytes([byte[0] ^ 1]))
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        prepare_train(train_config("--verify"))


def test_verify_of_nothing_is_an_error(train_config):
    with pytest.raises(InputError, match="not a complete training store"):
        prepare_train(train_config("--verify"))


def test_evaluation_stores_are_verified(train_config, eval_config, capsys):
    make_train_tables(train_config())
    config = eval_config()
    prepare_eval(config)
    prepare_eval(eval_config("--verify"))
    assert "verified: 6 utterances of 2 speakers" in capsys.readouterr().out
    with open(Path(config.feat_norm_folder, "feats.npy"), "r+b") as stream:
        stream.seek(-100, os.SEEK_END)
        stream.write(b"x")
    with pytest.raises(InputError, match="feat_norm: feats.npy and index.csv are not the content"):
        prepare_eval(eval_config("--verify"))


def test_tables_of_a_killed_run_are_completed(config):
    prepare_train(config)
    train, dev = Path(config.train_annotation), Path(config.valid_annotation)
    before = train.read_bytes(), dev.read_bytes()
    train.unlink()
    prepare_train(config)
    assert (train.read_bytes(), dev.read_bytes()) == before
