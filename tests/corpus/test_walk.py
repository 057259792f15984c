"""Finding audio files: by one rule for names, each real folder once.

Second variants: capitals in every folder (.WAV in noises, .FLAC in rooms); a link to a folder above, to
one beside, two links to one folder outside, a link to itself, a link to an unmounted speaker, a pipe named .wav.
"""

import json
import os
from pathlib import Path

import pytest

from mindvox.corpus.audio import is_audio_name
from mindvox.corpus.walk import AudioFiles, walk_audio
from mindvox.errors import InputError

NAMES = json.loads((Path(__file__).parent.parent / "audio_names.json").read_text(encoding="utf-8"))  # C++ reads it too


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize("name", NAMES)
def test_audio_is_known_by_its_name(name):
    assert is_audio_name(name) is NAMES[name]


def test_files_of_all_depths_and_suffixes_are_found(tmp_path):
    touch(tmp_path / "b.WAV", tmp_path / "a" / "c" / "d.m4a", tmp_path / "a" / "x.Flac")
    touch(tmp_path / "notes.txt", tmp_path / ".hidden.wav", tmp_path / ".git" / "a.wav")
    assert walk_audio(tmp_path) == AudioFiles(["a/c/d.m4a", "a/x.Flac", "b.WAV"], [], [], [])


def test_links_in_a_circle_end(tmp_path):
    touch(tmp_path / "speaker" / "a.wav")
    (tmp_path / "one").symlink_to(".")
    (tmp_path / "two").symlink_to(".")
    (tmp_path / "speaker" / "up").symlink_to("..")
    assert walk_audio(tmp_path) == AudioFiles(["speaker/a.wav"], [], ["one", "speaker/up", "two"], [])


def test_a_folder_keeps_its_own_name_beside_links_to_it(tmp_path):
    touch(tmp_path / "real" / "a.wav")
    (tmp_path / "alias").symlink_to("real")
    assert walk_audio(tmp_path) == AudioFiles(["real/a.wav"], [], ["alias"], [])


def test_links_to_folders_elsewhere_are_followed_once(tmp_path):
    touch(tmp_path / "outside" / "deep" / "a.wav", tmp_path / "inside" / "b.wav")
    (tmp_path / "inside" / "x").symlink_to("../outside")
    (tmp_path / "inside" / "y").symlink_to("../outside/deep")
    (tmp_path / "outside" / "deep" / "back").symlink_to("../../inside")
    assert walk_audio(tmp_path / "inside") == AudioFiles(["b.wav", "x/deep/a.wav"], [], ["x/deep/back", "y"], [])


def test_links_to_files_are_files(tmp_path):
    touch(tmp_path / "elsewhere.wav")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.wav").symlink_to("../elsewhere.wav")
    assert walk_audio(tmp_path / "corpus").names == ["a.wav"]


def test_what_cannot_be_opened_is_listed_with_the_reason(tmp_path):
    touch(tmp_path / "a.wav", tmp_path / os.fsdecode(b"\xe9.wav"), tmp_path / os.fsdecode(b"\xe8") / "b.wav")
    (tmp_path / "itself").symlink_to("itself")
    (tmp_path / "lost.wav").symlink_to("nowhere")
    (tmp_path / "unmounted speaker").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.wav")
    os.mkfifo(tmp_path / "pipe")
    found = walk_audio(tmp_path)
    assert found.names == ["a.wav"]
    assert dict(found.skipped) == {
        "itself": "a link that leads nowhere (too many levels of symbolic links)",
        "lost.wav": "a link to nothing",
        "unmounted speaker": "a link to nothing",
        "pipe.wav": "not a regular file",
        "\\xe9.wav": "its name is not UTF-8",
        "\\xe8/b.wav": "its name is not UTF-8",
    }


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        walk_audio(tmp_path / "nowhere")
