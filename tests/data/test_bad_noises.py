"""Bad noises and room responses: found before work starts, listed, and without effect on what was finished.

Second variants: a room response beside a noise, online training beside preparation; the bad file is removed, replaced
by another bad one, or added later.
"""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from mindvox.config import Config, load_config
from mindvox.corpus.table_io import read_skipped
from mindvox.data.online import OnlineFeatures
from mindvox.data.prepare import SKIPPED_NOISES_FILE, prepare_train
from mindvox.data.train_store import read_manifest
from mindvox.errors import InputError

RATE = 16000


def write_bad(path: Path) -> None:
    samples = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    samples[5000] = np.nan
    soundfile.write(path, samples, RATE, subtype="FLOAT")


@pytest.fixture
def folders(tmp_path) -> list[str]:
    """Options for one good and one bad file of each kind."""
    for name in ("noise", "rir"):
        folder = tmp_path / name
        folder.mkdir()
        soundfile.write(folder / "good.wav", 0.1 * np.random.default_rng(1).standard_normal(RATE), RATE)
        write_bad(folder / "bad.wav")
    return [f"--noise_folder={tmp_path / 'noise'}", f"--rir_folder={tmp_path / 'rir'}"]


def test_bad_files_are_listed_and_their_removal_changes_nothing(folders, train_config, tmp_path, capsys):
    config = train_config("--augmentations=clean,add_rev_noise", *folders)
    prepare_train(config)
    skipped = Path(config.save_folder, SKIPPED_NOISES_FILE)
    assert [name for name, _ in read_skipped(skipped)] == ["noise_folder/bad.wav", "rir_folder/bad.wav"]
    assert capsys.readouterr().err.count("1 files cannot be used: bad.wav (NaN or infinite samples)") == 2
    settings = read_manifest(config.feat_folder).settings
    (tmp_path / "noise" / "bad.wav").unlink()
    (tmp_path / "rir" / "bad.wav").rename(tmp_path / "rir" / "still_bad.wav")
    (tmp_path / "rir" / "text.mp3").write_text("no audio")
    (tmp_path / "rir" / "README").write_text("no audio by name")
    prepare_train(config)
    assert "already prepared" in capsys.readouterr().out
    assert read_manifest(config.feat_folder).settings == settings
    assert [name for name, _ in read_skipped(skipped)] == ["rir_folder/still_bad.wav", "rir_folder/text.mp3"]


def test_finished_shards_stay_when_a_bad_file_is_removed(folders, train_config, tmp_path, capsys):
    config = train_config("--augmentations=clean,add_rev_noise", "--shard_utterances=8", "--part=1/2", *folders)
    prepare_train(config)
    (tmp_path / "noise" / "bad.wav").unlink()
    prepare_train(train_config("--augmentations=clean,add_rev_noise", "--shard_utterances=8", "--part=2/2", *folders))
    assert "records from" in capsys.readouterr().out
    assert read_manifest(config.feat_folder).num_utterances == 40


def test_another_good_file_is_another_store(folders, train_config, tmp_path):
    config = train_config("--augmentations=clean,add_rev_noise", *folders)
    prepare_train(config)
    soundfile.write(tmp_path / "noise" / "bad.wav", 0.1 * np.random.default_rng(2).standard_normal(RATE), RATE)
    with pytest.raises(InputError, match="noise_folder_sha256"):
        prepare_train(config)


def test_online_training_skips_bad_files_before_it_starts(folders, capsys):
    config = load_config(Config, ["--augmentations=add_rev_noise", *folders])
    OnlineFeatures.from_config(config, num_speakers=2)
    assert capsys.readouterr().err.count("bad.wav (NaN or infinite samples)") == 2


def test_a_folder_of_bad_files_alone_is_an_error(folders, train_config, tmp_path):
    (tmp_path / "noise" / "good.wav").unlink()
    with pytest.raises(InputError, match="expected recordings of noise .*bad.wav"):
        prepare_train(train_config("--augmentations=add_noise", *folders))
