"""RTTM and UEM files: what is read, what is written, and what is refused."""

import pytest

from mindvox.diarization.rttm import read_rttm, read_uem, write_rttm
from mindvox.diarization.turns import Turn, joined, renamed, speakers_of, speech_of
from mindvox.errors import InputError


def test_turns_are_written_to_a_millisecond_and_read_back(tmp_path):
    turns = {"a": [Turn(1.5, 2.0, "B"), Turn(0.0004, 1.2504, "A")], "b": [Turn(3.0, 3.0004, "A")]}
    write_rttm(tmp_path / "x.rttm", turns)
    assert (tmp_path / "x.rttm").read_text() == (
        "SPEAKER a 1 0.000 1.250 <NA> <NA> A <NA> <NA>\nSPEAKER a 1 1.500 0.500 <NA> <NA> B <NA> <NA>\n"
    )
    assert read_rttm(tmp_path / "x.rttm") == {"a": [Turn(0.0, 1.25, "A"), Turn(1.5, 2.0, "B")]}


def test_names_lose_white_space_but_never_become_one(tmp_path):
    write_rttm(tmp_path / "x.rttm", {"my talk": [Turn(0, 1, "Anna Ek")]})
    assert read_rttm(tmp_path / "x.rttm") == {"my_talk": [Turn(0, 1, "Anna_Ek")]}
    with pytest.raises(InputError, match="differ in white space only"):
        write_rttm(tmp_path / "y.rttm", {"a": [Turn(0, 1, "Anna Ek"), Turn(0, 1, "Anna_Ek")]})
    assert not (tmp_path / "y.rttm").exists()


def test_folder_comments_other_kinds_and_nine_fields_are_read(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.rttm").write_text(
        ";; made by hand\nSPKR-INFO a 1 <NA> <NA> <NA> unknown A <NA>\nSPEAKER a 1 2 1 <NA> <NA> A <NA>\n"
        "SPEAKER a 1 5 0 <NA> <NA> A <NA>\n"
    )
    (tmp_path / "b.rttm").write_text("SPEAKER b 1 0 .5 <NA> <NA> A <NA> <NA>\n")
    assert read_rttm(tmp_path) == {"b": [Turn(0, 0.5, "A")], "a": [Turn(2, 3, "A")]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a 1 0 1 A", r"x.rttm:2: expected 'SPEAKER <recording>"),
        ("SPEAKER a 1 0 1 A", r"x.rttm:2: expected 'SPEAKER <recording>"),
        ("SPEAKER a 1 -1 1 <NA> <NA> A <NA> <NA>", r"2: start and duration: expected seconds of at least 0, got -1"),
        ("SPEAKER a 1 0 nan <NA> <NA> A <NA> <NA>", "expected seconds"),
        ("SPEAKER a 1 zero 1 <NA> <NA> A <NA> <NA>", "got zero and 1"),
    ],
)
def test_bad_line_is_named(tmp_path, line, message):
    (tmp_path / "x.rttm").write_text(f"\n{line}\n")
    with pytest.raises(InputError, match=message):
        read_rttm(tmp_path / "x.rttm")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_rttm(tmp_path / "none.rttm")
    with pytest.raises(InputError, match="expected RTTM files .* found none"):
        read_rttm(tmp_path)


def test_uem_is_read_and_checked(tmp_path):
    path = tmp_path / "x.uem"
    path.write_text("a 1 0 10\na 1 20 30\nb 1 0 5\n")
    assert read_uem(path) == {"a": [(0, 10), (20, 30)], "b": [(0, 5)]}
    path.write_text("a 1 10 5\n")
    with pytest.raises(InputError, match="x.uem:1: expected an end after the start 10, got 5"):
        read_uem(path)
    path.write_text("a 10 5\n")
    with pytest.raises(InputError, match="x.uem:1: expected '<recording> <channel> <start> <end>'"):
        read_uem(path)


def test_turns_of_one_speaker_are_joined_over_short_gaps():
    turns = [Turn(2.0, 3.0, "A"), Turn(0.0, 1.0, "A"), Turn(0.5, 1.5, "A"), Turn(1.0, 4.0, "B")]
    assert joined(turns) == [Turn(0.0, 1.5, "A"), Turn(1.0, 4.0, "B"), Turn(2.0, 3.0, "A")]
    assert joined(turns, 0.5) == [Turn(0.0, 3.0, "A"), Turn(1.0, 4.0, "B")]
    assert speakers_of(turns) == ["A", "B"] and speech_of(turns, "B") == 3.0
    assert renamed(turns[:1], {"A": "Anna"}) == [Turn(2.0, 3.0, "Anna")]
