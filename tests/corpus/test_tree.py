import os

import pytest

from mindvox.corpus.layouts import scan_tree
from mindvox.corpus.tree import Skipped, Utterance
from mindvox.errors import InputError


def test_recordings_become_utterances_sorted_by_id(tmp_path, write_noise):
    write_noise(tmp_path / "wav" / "b" / "s" / "1.flac", 3200)
    write_noise(tmp_path / "wav" / "a" / "2.wav", 1600)
    write_noise(tmp_path / "wav" / "a" / "s" / "1.wav", 800, 8000)
    utterances, skipped = scan_tree(tmp_path)
    assert utterances == [
        Utterance("a/2.wav", 0.1, "wav/a/2.wav", 0, 1600, "a"),
        Utterance("a/s/1.wav", 0.1, "wav/a/s/1.wav", 0, 1600, "a"),
        Utterance("b/s/1.flac", 0.2, "wav/b/s/1.flac", 0, 3200, "b"),
    ]
    assert skipped == []


def test_upper_case_suffixes_spaces_and_commas_are_kept(tmp_path, write_noise):
    path = write_noise(tmp_path / "wav" / "A. Person, jr" / "1.wav")
    path.rename(path.with_name("my talk.WAV"))
    utterances, _ = scan_tree(tmp_path)
    assert [(u.utt_id, u.spk_id) for u in utterances] == [("A. Person, jr/my talk.WAV", "A. Person, jr")]


def test_bad_files_are_skipped_with_their_reason(tmp_path, make_corpus, write_noise):
    make_corpus(tmp_path, {"a": 2})
    (tmp_path / "wav" / "a" / "s1" / "empty.wav").touch()
    (tmp_path / "wav" / "a" / "s1" / "gone.wav").symlink_to("nowhere.wav")
    (tmp_path / "wav" / "a" / "s1" / "text.wav").write_text("not audio" * 20)
    write_noise(tmp_path / "wav" / "a" / "s1" / "deeper" / "1.wav")
    (tmp_path / "wav" / "loose.wav").touch()
    utterances, skipped = scan_tree(tmp_path)
    assert [u.utt_id for u in utterances] == ["a/s1/00.wav", "a/s1/01.wav"]
    reasons = {item.utt_id: item.reason.split(";")[0].split(" (")[0] for item in skipped}
    assert reasons == {
        "a/s1/deeper/1.wav": "a folder too deep",
        "a/s1/empty.wav": "empty file",
        "a/s1/gone.wav": "a link to nothing",
        "a/s1/text.wav": "not a readable audio file",
        "loose.wav": "outside the speakers' folders",
    }


def test_a_name_that_is_not_utf8_is_skipped(tmp_path, make_corpus):
    make_corpus(tmp_path, {"a": 1})
    folder = os.fsencode(tmp_path / "wav" / "a" / "s1")
    os.rename(folder + b"/00.wav", folder + b"/caf\xe9.wav")
    make_corpus(tmp_path, {"b": 1})
    utterances, skipped = scan_tree(tmp_path)
    assert [u.utt_id for u in utterances] == ["b/s1/00.wav"]
    assert skipped == [Skipped("a/s1/caf\\xe9.wav", "its name is not UTF-8")]


def test_hidden_and_other_files_are_ignored(tmp_path, make_corpus):
    make_corpus(tmp_path, {"a": 1, ".trash": 1})
    (tmp_path / "wav" / "a" / "s1" / "._00.wav").touch()
    (tmp_path / "wav" / "a" / "notes.txt").touch()
    utterances, skipped = scan_tree(tmp_path)
    assert [u.utt_id for u in utterances] == ["a/s1/00.wav"]
    assert skipped == []


def test_links_to_speaker_folders_are_followed(tmp_path, make_corpus):
    source = make_corpus(tmp_path / "source", {"a": 1})
    (tmp_path / "corpus" / "wav").mkdir(parents=True)
    (tmp_path / "corpus" / "wav" / "reader").symlink_to(source / "wav" / "a")
    utterances, _ = scan_tree(tmp_path / "corpus")
    assert [u.utt_id for u in utterances] == ["reader/s1/00.wav"]


def test_one_recording_in_two_formats_is_an_error(tmp_path, make_corpus):
    make_corpus(tmp_path, {"a": 2})
    make_corpus(tmp_path, {"a": 1}, suffix=".flac")
    with pytest.raises(InputError, match=r"1 recordings are there twice, such as wav/a/s1/00.flac and wav/a/s1/00.wav"):
        scan_tree(tmp_path)


def test_a_missing_folder_shows_the_layout(tmp_path):
    with pytest.raises(InputError, match="no such folder; expected .*none/wav/<speaker>/<session>/<file>"):
        scan_tree(tmp_path / "none")


def test_a_missing_wav_folder_shows_the_layout(tmp_path):
    with pytest.raises(InputError, match="no folder 'wav' in it; expected .*/wav/<speaker>/<session>/<file> "):
        scan_tree(tmp_path)


def test_a_tree_without_recordings(tmp_path):
    (tmp_path / "wav" / "a").mkdir(parents=True)
    with pytest.raises(InputError, match="no recordings; expected .*/wav/<speaker>/<session>/<file> "):
        scan_tree(tmp_path)
    (tmp_path / "wav" / "a" / "notes.txt").touch()
    with pytest.raises(InputError, match="no recordings"):
        scan_tree(tmp_path)


def test_what_is_audio_by_name_is_never_dropped(tmp_path):
    (tmp_path / "wav" / "a").mkdir(parents=True)
    for name in ("1.m4a", "2.MP3", "3.wma"):
        (tmp_path / "wav" / "a" / name).touch()
    utterances, skipped = scan_tree(tmp_path)
    assert utterances == []
    assert skipped == [(f"a/{name}", "empty file") for name in ("1.m4a", "2.MP3", "3.wma")]
