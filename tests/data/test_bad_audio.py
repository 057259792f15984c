"""A tree with every kind of broken and odd recording: prepared without a crash, each bad one listed, none stored."""

import sys
from pathlib import Path

import numpy as np
import pytest

from mindvox.corpus.quality import QualityLimits
from mindvox.corpus.table_io import read_skipped
from mindvox.data.prepare import prepare_train
from mindvox.data.train_store import read_manifest
from mindvox.errors import InputError
from tests.stores import read_records
from tests.verdicts import CASES, MEDIA_CASES, write_all

BAD = {name: case.verdict for name, case in CASES.items() if case.verdict} | {
    "dangling_link.wav": "a link to nothing",
}
USABLE = {name: case for name, case in CASES.items() if not case.verdict}


@pytest.fixture
def tree(tmp_path) -> Path:
    session = tmp_path / "tree" / "wav" / "id1" / "session"
    write_all(session)
    (session / "dangling_link.wav").symlink_to("nowhere.wav")
    return tmp_path / "tree"


def test_every_kind_of_broken_audio_is_listed_and_not_stored(tree, train_config, capsys):
    config = train_config(f"--data_folder={tree}", "--whole_utterance=true", "--max_bad_fraction=1")
    prepare_train(config)
    num_wrong = sum(case.wrong_length for case in CASES.values())
    assert f"{num_wrong} recordings whose header gives another length" in capsys.readouterr().err
    manifest = read_manifest(config.feat_folder)
    reasons = {entry.utt_id.removeprefix("id1/session/"): entry.reason for entry in manifest.skipped}
    assert set(reasons) == set(BAD)
    for name, expected in BAD.items():
        assert reasons[name].startswith(expected), (name, reasons[name])
    stored = {record.utt_id.removeprefix("id1/session/"): record.feats for record in read_records(config.feat_folder)}
    assert set(stored) == set(USABLE)
    assert manifest.num_converted == sum(case.is_converted for case in USABLE.values())
    assert all(np.isfinite(feats).all() for feats in stored.values())
    assert set(read_skipped(Path(config.save_folder, "skipped.csv"))) < set(manifest.skipped)


def test_more_than_the_allowed_share_of_bad_audio_is_an_error(tree, train_config):
    with pytest.raises(InputError, match="max_bad_fraction"):
        prepare_train(train_config(f"--data_folder={tree}", "--max_bad_fraction=0.5"))


def test_limits_are_the_users(tree, train_config):
    options = ["--max_bad_fraction=1", "--max_clipped_fraction=1", "--min_duration=0.08", "--whole_utterance=true"]
    config = train_config(f"--data_folder={tree}", *options)
    prepare_train(config)
    skipped = {entry.utt_id.removeprefix("id1/session/") for entry in read_manifest(config.feat_folder).skipped}
    assert skipped & {"clipped.wav", "square.wav", "too_short.wav"} == set()
    assert "one_sample.wav" in skipped


@pytest.mark.parametrize(("num_clipped", "is_usable"), [(200, True), (201, False)])
def test_share_of_clipped_samples_counts(num_clipped, is_usable):
    samples = np.full(1000, 0.5, np.float32)
    samples[:num_clipped] = np.where(np.arange(num_clipped) % 2, 32767 / 32768, -1)
    limits = QualityLimits(min_duration_s=0, max_clipped_fraction=0.2)
    if is_usable:
        limits.check(samples)
    else:
        with pytest.raises(Exception, match=r"clipped: 20\.1% of its samples"):
            limits.check(samples)


@pytest.fixture
def half_m4a(tmp_path) -> Path:
    """Four recordings that libsndfile reads and four that it does not; second variants of .m4a: .aac, .MKA, .webm."""
    pytest.importorskip("av", reason="needs PyAV (extra media)")
    session = tmp_path / "half" / "wav" / "id1" / "session"
    session.mkdir(parents=True)
    for name in ("good.wav", "good_mp3.mp3", "good_opus.opus", "gsm.wav"):
        CASES[name].make(session / name)
    for name in ("good_m4a.m4a", "good_aac.aac", "good_mka.mka", "good_webm.webm"):
        MEDIA_CASES[name].make(session / name)
    return tmp_path / "half"


def test_half_of_a_corpus_in_m4a_is_read(half_m4a, train_config):
    config = train_config(f"--data_folder={half_m4a}", "--max_bad_fraction=0")
    prepare_train(config)
    assert read_manifest(config.feat_folder).num_utterances == 8


def test_half_of_a_corpus_in_m4a_is_listed_without_pyav(half_m4a, train_config, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match="4 of 8 files cannot be used"):
        prepare_train(train_config(f"--data_folder={half_m4a}", "--max_bad_fraction=0.4"))
    config = train_config(f"--data_folder={half_m4a}", "--max_bad_fraction=0.5")
    prepare_train(config)
    listed = read_skipped(Path(config.save_folder, "skipped.csv"))
    assert [entry.reason.split(":")[0] for entry in listed] == ["aac", "m4a", "mka", "webm"]
    assert all("install the extra media (PyAV), or convert" in entry.reason for entry in listed)
