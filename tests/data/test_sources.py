"""A store knows the content of what it was made from: only that decides whether it can be used again.

Second variants of issue 12, B6: the cohort, noises and room responses, an unfinished training store, a copied corpus,
touched recordings, an older store without stamps, features and checkpoints that are replaced in place.
"""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.data import sources
from mindvox.data.eval_store import EvalStore
from mindvox.data.merge import merge_stores
from mindvox.data.prepare import prepare_train
from mindvox.data.prepare_eval import prepare_eval
from mindvox.data.train_store import read_manifest
from mindvox.errors import InputError
from mindvox.files import read_json, sha256_file, write_json


def replace_by_another(path: Path) -> None:
    """Write other samples of the same number, as another recording of equal length has."""
    frames, sample_rate = soundfile.read(path)
    num_bytes = path.stat().st_size
    soundfile.write(path, 0.2 * np.random.default_rng(9).standard_normal(len(frames)), sample_rate)
    assert path.stat().st_size == num_bytes
    move_time(path)


def move_time(path: Path) -> None:
    """Give a file another time, whatever the steps of the file system's clock."""
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))


@pytest.fixture
def no_content_is_read(monkeypatch):
    def fail(path):
        raise AssertionError(f"{path} is read")

    return lambda: monkeypatch.setattr(sources, "sha256_file", fail)


def test_unchanged_recordings_are_not_read_again(train_config, eval_config, no_content_is_read, capsys):
    prepare_train(train_config())
    prepare_eval(eval_config())
    no_content_is_read()
    capsys.readouterr()
    prepare_train(train_config())
    prepare_eval(eval_config())
    assert capsys.readouterr().out.count("already prepared") == 3


def test_replaced_training_recordings_are_named(train_config, corpus):
    prepare_train(train_config())
    replace_by_another(corpus / "wav" / "id00001" / "session" / "00002.wav")
    said = "1 of 20 recordings are not those that it was prepared from: id00001/session/00002.wav. Remove that folder"
    with pytest.raises(InputError, match=said):
        prepare_train(train_config())


def test_replaced_recording_of_an_unfinished_store_is_named(train_config, corpus):
    prepare_train(train_config("--shard_utterances=4", "--part=1/2"))
    replace_by_another(corpus / "wav" / "id00000" / "session" / "00001.wav")
    with pytest.raises(InputError, match="prepared from: id00000/session/00001.wav"):
        prepare_train(train_config("--shard_utterances=4", "--part=2/2"))


def test_replaced_evaluation_recording_is_named(train_config, eval_config, eval_corpus):
    prepare_train(train_config())
    prepare_eval(eval_config())
    replace_by_another(eval_corpus / "wav" / "id00010" / "session" / "00001.wav")
    with pytest.raises(InputError, match="feat_eval: 1 of 6 recordings .*choose another feat_eval_folder"):
        prepare_eval(eval_config())


def test_replaced_cohort_recording_is_named(train_config, eval_config, corpus):
    prepare_train(train_config())
    prepare_eval(eval_config())
    replace_by_another(corpus / "wav" / "id00004" / "session" / "00003.wav")
    with pytest.raises(InputError, match="feat_norm: 1 of 20 recordings .*choose another feat_norm_folder"):
        prepare_eval(eval_config())


@pytest.mark.parametrize("key", ["noise_folder", "rir_folder"])
def test_replaced_noise_or_room_response_is_named(train_config, tmp_path, key):
    for folder in ("noise", "rir"):
        (tmp_path / folder).mkdir()
        for number in range(2):
            samples = 0.1 * np.random.default_rng(number).standard_normal(8000)
            soundfile.write(tmp_path / folder / f"{number}.wav", samples, 16000)
    options = ["--augmentations=clean,add_rev_noise", f"--noise_folder={tmp_path / 'noise'}"]
    config = train_config(*options, f"--rir_folder={tmp_path / 'rir'}")
    prepare_train(config)
    prepare_train(config)
    replace_by_another(Path(getattr(config, key)) / "1.wav")
    with pytest.raises(InputError, match=f"1 of 2 files of {key} are not those .*: 1.wav"):
        prepare_train(config)


def test_parts_with_other_noises_of_equal_size_are_not_merged(train_config, tmp_path):
    (tmp_path / "noise").mkdir()
    path = tmp_path / "noise" / "0.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(8000), 16000)
    options = ["--augmentations=add_noise", f"--noise_folder={tmp_path / 'noise'}", "--shard_utterances=10"]
    for number in (1, 2):
        folder = f"--feat_folder={tmp_path / 'feat' / f'part-{number}'}"
        prepare_train(train_config(*options, folder, f"--part={number}/2"))
        replace_by_another(path)
    config = train_config(*options, f"--feat_folder={tmp_path / 'feat'}")
    with pytest.raises(InputError, match="part-2: made with other files of noise_folder than .*part-1"):
        merge_stores(config)


def test_merged_store_of_recordings_that_were_replaced_is_refused(train_config, corpus, tmp_path):
    config = train_config()
    prepare_train(config)
    merge_stores(config)
    replace_by_another(corpus / "wav" / "id00001" / "session" / "00002.wav")
    for path in (tmp_path / "feat_train").glob("*.*"):  # as the message says; the merged store is the user's to remove
        path.unlink()
    prepare_train(config)
    with pytest.raises(InputError, match="merged: holds data prepared from other things: merged_sha256"):
        merge_stores(config)


def test_copied_or_touched_corpus_is_the_same(train_config, eval_config, corpus, tmp_path, capsys, no_content_is_read):
    prepare_train(train_config())
    prepare_eval(eval_config())
    manifest = read_manifest(tmp_path / "feat_train")
    shutil.copytree(corpus, tmp_path / "copy", copy_function=shutil.copyfile)
    for path in (tmp_path / "copy").rglob("*.wav"):
        move_time(path)
    capsys.readouterr()
    copied = [f"--data_folder={tmp_path / 'copy'}"]
    prepare_train(train_config(*copied))
    prepare_eval(eval_config(f"--train_data_folder={tmp_path / 'copy'}"))
    assert capsys.readouterr().out.count("20 of 20 recordings have another time, but the same content") == 2
    assert read_manifest(tmp_path / "feat_train") == manifest
    no_content_is_read()  # the stamps are refreshed
    prepare_train(train_config(*copied))
    prepare_eval(eval_config(f"--train_data_folder={tmp_path / 'copy'}"))
    assert "another time" not in capsys.readouterr().out


def test_older_stores_are_used_and_it_is_said(train_config, eval_config, tmp_path, capsys):
    prepare_train(train_config())
    prepare_eval(eval_config())
    for table in (*tmp_path.glob("feat_*/*.sources.csv"), *tmp_path.glob("feat_*/sources.csv")):
        table.unlink()
    capsys.readouterr()
    prepare_train(train_config())
    prepare_eval(eval_config())
    said = capsys.readouterr().out
    assert said.count("an older store without hashes of its recordings") == 3
    assert said.count("already prepared") == 3


def test_one_long_recording_is_read_once_for_all_its_utterances(tmp_path, monkeypatch):
    path = tmp_path / "long.wav"
    path.write_bytes(bytes(1000))
    reads = []
    monkeypatch.setattr(sources, "sha256_file", lambda name: reads.append(name) or sha256_file(name))
    assert len({sources.stamp_of(path) for _ in range(10)}) == 1
    assert len(reads) == 1
    assert sources.stamp_of(tmp_path / "absent.wav") is None


def test_features_replaced_in_place_are_refused(train_config, eval_config, tmp_path):
    prepare_train(train_config())
    prepare_eval(eval_config())
    path = tmp_path / "feat_eval" / "feats.npy"
    np.save(path, np.load(path)[::-1])
    move_time(path)
    with pytest.raises(InputError, match="feat_eval: feats.npy and index.csv are not the content that meta.json names"):
        EvalStore.open(tmp_path / "feat_eval")


def test_copied_store_is_the_same_and_is_read_once(train_config, eval_config, tmp_path, monkeypatch):
    prepare_train(train_config())
    prepare_eval(eval_config())
    store = EvalStore.open(tmp_path / "feat_eval")
    shutil.copytree(tmp_path / "feat_eval", tmp_path / "copy", copy_function=shutil.copyfile)
    move_time(tmp_path / "copy" / "feats.npy")
    assert EvalStore.open(tmp_path / "copy").sha256 == store.sha256
    monkeypatch.setattr("mindvox.data.eval_store.content_sha256", lambda _: pytest.fail("the features are read again"))
    assert EvalStore.open(tmp_path / "copy").sha256 == store.sha256


def test_older_evaluation_store_is_compared_by_content(train_config, eval_config, tmp_path):
    prepare_train(train_config())
    prepare_eval(eval_config())
    path = tmp_path / "feat_eval" / "meta.json"
    meta = read_json(path)
    del meta["files"]
    write_json(path, meta)
    EvalStore.open(tmp_path / "feat_eval")
    assert "files" in read_json(path)


@pytest.mark.slow
def test_100000_unchanged_recordings_are_compared_in_seconds(tmp_path):
    names = [f"{number:06d}" for number in range(100000)]
    for name in names:
        (tmp_path / name).touch()
    paths = {name: tmp_path / name for name in names}
    table = tmp_path / "sources.csv"
    sources.write_sources(table, sources.stamp_all(paths))
    started = time.perf_counter()
    sources.check_sources(tmp_path, [table], paths, "recordings", "")
    elapsed_s = time.perf_counter() - started
    print(f"{elapsed_s:.1f} s")
    assert elapsed_s < 60
