"""The form of printed lines."""

from mindvox.terminal import WIDTH, folded, table_lines


def test_a_short_line_stays_and_a_long_one_is_folded_at_blanks():
    assert folded("  a short line") == "  a short line"
    words = ["word"] * 40
    lines = folded(f"  {' '.join(words)}").splitlines()
    assert len(lines) == 3 and all(len(line) <= WIDTH for line in lines)
    assert lines[0].startswith("  word") and lines[1].startswith("    word")
    assert " ".join(lines).split() == words


def test_a_path_longer_than_a_line_stays_whole():
    path = "/folder" * 20 + "/a-file.wav"
    assert folded(f"{path}: no such file").splitlines() == [f"{path}:", "  no such file"]


def test_columns_of_a_table_are_aligned():
    rows = [("name", "share"), ("anna", "100"), ("bo", "7")]
    assert table_lines(rows) == ["name  share", "anna  100", "bo    7"]
    assert table_lines(rows, right=True) == ["name  share", "anna    100", "bo        7"]
