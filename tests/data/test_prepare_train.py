"""From a training corpus to its store, with what users get wrong."""

import os
import shutil
from collections import Counter, namedtuple
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.corpus.audio import read_audio
from mindvox.data import prepare
from mindvox.data.prepare import prepare_train
from mindvox.data.train_store import read_manifest
from mindvox.errors import InputError, UsageError
from mindvox.frontend.fbank import Fbank
from tests.stores import read_records

Usage = namedtuple("Usage", "total used free")
MINI_LIBRISPEECH = Path(__file__).resolve().parents[3] / "shared" / "data" / "mini_librispeech"


def records_of(config) -> dict:
    return {record.utt_id: record for record in read_records(config.feat_folder)}


def recording(corpus: Path, utt_id: str) -> np.ndarray:
    return read_audio(corpus / "wav" / utt_id).waveform


def test_chunks_are_features_of_their_samples(corpus, train_config):
    config = train_config("--number_of_epochs=2")
    prepare_train(config)
    records = list(read_records(config.feat_folder))
    assert len(records) == 2 * 20
    for record in records:
        utt_id, _, place = record.utt_id.partition("#")
        first, last = map(int, place.split("-"))
        waveform = recording(corpus, utt_id)[first:last]
        chunk = np.concatenate([waveform, waveform])[:16000]
        np.testing.assert_array_equal(record.feats, Fbank()(chunk))
        assert record.label == int(utt_id[2:7])


def test_every_utterance_gives_as_many_chunks_as_there_are_copies(train_config):
    config = train_config("--number_of_epochs=3")
    prepare_train(config)
    counts = Counter(record.utt_id.partition("#")[0] for record in read_records(config.feat_folder))
    assert len(counts) == 20
    assert set(counts.values()) == {3}


def test_whole_utterances_are_stored_at_their_length(corpus, train_config):
    config = train_config("--whole_utterance=true")
    prepare_train(config)
    records = records_of(config)
    assert len(records) == 20
    utt_id = "id00003/session/00001.wav"
    np.testing.assert_array_equal(records[utt_id].feats, Fbank()(recording(corpus, utt_id)))


def test_part_of_a_recording_in_the_users_table_is_stored_alone(corpus, train_config, table_of_a_part):
    config = train_config("--whole_utterance=true", "--skip_prep=true")
    prepare_train(config)
    waveform = recording(corpus, "id00001/session/00003.wav")[4000:12000]
    np.testing.assert_array_equal(records_of(config)["mine"].feats, Fbank()(waveform))


def test_held_out_utterances_are_not_in_the_store(train_config, capsys):
    config = train_config("--whole_utterance=true", "--split_ratio=75", "--min_utts_for_dev=2")
    prepare_train(config)
    assert len(records_of(config)) == 15
    assert "dev.csv: held out for validation, not in the training store" in capsys.readouterr().out


def test_manifest_says_how_the_store_was_made(train_config):
    config = train_config("--n_mels=40", "--shard_utterances=15")
    prepare_train(config)
    manifest = read_manifest(config.feat_folder)
    assert manifest.front_end["n_mels"] == 40
    assert (manifest.num_utterances, manifest.num_speakers, len(manifest.shards)) == (20, 5, 2)
    assert manifest.settings["sentence_len"] == 1.0
    assert manifest.settings["seed"] == 1234
    assert manifest.num_frames == 20 * 101


def test_second_run_keeps_the_store_and_says_so(train_config, capsys):
    config = train_config()
    prepare_train(config)
    before = (Path(config.feat_folder) / "manifest.json").stat().st_mtime_ns
    capsys.readouterr()
    prepare_train(config)
    assert "already prepared, 20 records" in capsys.readouterr().out
    assert (Path(config.feat_folder) / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "named"),
    [("--n_mels=40", "n_mels 80, now 40"), ("--sentence_len=2", "sentence_len 1.0, now 2.0")],
)
def test_store_of_other_settings_is_an_error_that_names_them(train_config, change, named):
    prepare_train(train_config())
    with pytest.raises(InputError, match=f"{named}.* choose another feat_folder"):
        prepare_train(train_config(change))
    assert read_manifest(train_config().feat_folder).num_utterances == 20


def test_leftovers_of_an_interrupted_run_are_made_anew(train_config):
    config = train_config()
    prepare_train(config)
    (Path(config.feat_folder) / "manifest.json").unlink()
    prepare_train(config)
    assert len(list(read_records(config.feat_folder))) == 20


def test_summary_counts_what_was_done(train_config, capsys):
    prepare_train(train_config())
    line, speed = capsys.readouterr().out.splitlines()[-2:]
    assert "20 records from 20 utterances of 0.01 h" in line
    assert "0 recordings skipped" in line
    assert "times real time" in speed


def test_converted_recordings_are_counted_once(corpus, train_config, capsys):
    noise = 0.1 * np.random.default_rng(0).standard_normal((16000, 2))
    for name in ("00007.wav", "00008.wav"):
        soundfile.write(corpus / "wav" / "id00001" / "session" / name, noise, 8000)
    config = train_config("--whole_utterance=true")
    prepare_train(config)
    warning = capsys.readouterr().err
    assert "warning: 2 recordings were not 16 kHz mono and were converted" in warning
    assert "id00001/session/00007.wav" in warning
    assert len(records_of(config)["id00001/session/00007.wav"].feats) == 201


def spoil(corpus: Path) -> list[str]:
    """Add an empty file, a text, a cut flac and a file of zeros, and return their names."""
    session = corpus / "wav" / "id00001" / "session"
    (session / "empty.wav").write_bytes(b"")
    (session / "text.wav").write_text("this is not audio\n" * 100)
    noise = 0.1 * np.random.default_rng(0).standard_normal(48000)
    soundfile.write(session / "cut.flac", noise, 16000)
    os.truncate(session / "cut.flac", (session / "cut.flac").stat().st_size // 2)
    soundfile.write(session / "zeros.wav", np.zeros(16000), 16000)
    return [f"id00001/session/{name}" for name in ("cut.flac", "empty.wav", "text.wav", "zeros.wav")]


def test_few_bad_recordings_are_counted_and_listed_with_reasons(corpus, train_config, capsys):
    bad = spoil(corpus)
    config = train_config("--max_bad_fraction=0.2")
    prepare_train(config)
    manifest = read_manifest(config.feat_folder)
    assert manifest.num_utterances == 20
    assert sorted(entry.utt_id for entry in manifest.skipped) == bad
    assert all(entry.reason for entry in manifest.skipped)
    assert "4 recordings skipped" in capsys.readouterr().out


def test_many_bad_recordings_are_an_error_and_leave_no_store(corpus, train_config):
    bad = spoil(corpus)
    config = train_config("--max_bad_fraction=0.1")
    with pytest.raises(InputError, match="max_bad_fraction") as caught:
        prepare_train(config)
    assert any(name in str(caught.value) for name in bad)
    assert not (Path(config.feat_folder) / "manifest.json").exists()


def test_recordings_that_went_bad_after_the_tables_are_an_error(corpus, train_config):
    config = train_config("--whole_utterance=true")
    prepare_train(config)
    shutil.rmtree(config.feat_folder)
    for number in range(2):
        path = corpus / "wav" / "id00001" / "session" / f"{number:05d}.wav"
        os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(InputError, match=r"2 recordings cannot be used so far.*id00001/session/00000\.wav \(truncated"):
        prepare_train(config)
    assert not list(Path(config.feat_folder).glob("*.mindrecord"))


def test_no_room_for_the_store_is_said_before_work(train_config, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**9, 10**9, 10**5))
    config = train_config()
    with pytest.raises(InputError, match=r"feat_train: needs 0\.\d+ GB, has 0\.000 GB"):
        prepare_train(config)
    assert not Path(config.feat_folder).exists()


def test_room_that_is_asked_for_is_enough(train_config, monkeypatch):
    asked = []
    monkeypatch.setattr(prepare, "check_free_space", lambda folder, num_bytes: asked.append(num_bytes))
    config = train_config("--whole_utterance=true")
    prepare_train(config)
    used = sum(path.stat().st_size for path in Path(config.feat_folder).iterdir())
    assert 20 * 80 * 4 * 200 < used <= asked[0]


def test_missing_corpus_is_an_error(train_config, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        prepare_train(train_config(f"--data_folder={tmp_path / 'nowhere'}"))


def test_store_needs_a_folder(train_config):
    with pytest.raises(UsageError, match="feat_folder"):
        prepare_train(train_config("--feat_folder="))


@pytest.mark.skipif(not MINI_LIBRISPEECH.exists(), reason="needs mini_librispeech, which is not part of the project")
def test_real_speech_is_prepared(train_config):
    config = train_config(f"--data_folder={MINI_LIBRISPEECH / 'voxceleb1'}", "--split_ratio=90")
    prepare_train(config)
    manifest = read_manifest(config.feat_folder)
    assert (manifest.num_utterances, manifest.num_speakers, manifest.skipped) == (54, 6, [])
