import numpy as np
import pytest

from mindvox.errors import InputError
from mindvox.scoring.score_files import align, read_scores, write_scores

HEADER = "label\tenrol\ttest\tbaseline\ts-norm\n"
LINES = ["1\ta/1.wav\ta/2.wav\t0.5\t2\n", "0\ta/1.wav\tb/1.wav\t-0.25\t1e-1\n", "0\tb/1.wav\ta/1.wav\t.25\t-3.\n"]


@pytest.fixture
def write(tmp_path):
    def write(text, name="scores.tsv"):
        path = tmp_path / name
        path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
        return path

    return write


def test_reads_what_stands_in_the_file(write):
    table = read_scores(write(HEADER + "".join(LINES)))
    assert table.is_target.tolist() == [True, False, False]
    assert table.enrol == ["a/1.wav", "a/1.wav", "b/1.wav"]
    assert table.test == ["a/2.wav", "b/1.wav", "a/1.wav"]
    assert {name: scores.tolist() for name, scores in table.columns.items()} == {
        "baseline": [0.5, -0.25, 0.25],
        "s-norm": [2, 0.1, -3],
    }


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(write):
    text = HEADER + "".join(LINES)
    plain, windows = read_scores(write(text)), read_scores(write("\ufeff" + text.replace("\n", "\r\n"), "windows.tsv"))
    assert windows.test == plain.test
    assert windows.columns["s-norm"].tolist() == plain.columns["s-norm"].tolist()


def test_written_float32_scores_are_read_back_exactly(tmp_path):
    scores = np.random.default_rng(0).normal(size=500).astype(np.float32)
    names = [f"s/{number}" for number in range(500)]
    write_scores(tmp_path / "s.tsv", scores > 0, names, names[::-1], {"score": scores})
    table = read_scores(tmp_path / "s.tsv")
    np.testing.assert_array_equal(table.columns["score"].astype(np.float32), scores)
    np.testing.assert_array_equal(table.is_target, scores > 0)
    assert (table.enrol, table.test) == (names, names[::-1])


def test_blind_file_is_read_and_written_and_has_no_truth(tmp_path):
    write_scores(tmp_path / "s.tsv", None, ["a"], ["b"], {"score": np.array([1.5])})
    assert (tmp_path / "s.tsv").read_text() == "enrol\ttest\tscore\na\tb\t1.5\n"  # as evaluate.py writes them
    table = read_scores(tmp_path / "s.tsv")
    assert table.is_target is None
    assert table.columns["score"].tolist() == [1.5]
    with pytest.raises(InputError, match="blind"):
        table.truth()


def test_trials_of_one_kind_have_no_truth_to_measure(write):
    with pytest.raises(InputError, match=r"lines 2 to 3\) are non-target"):
        read_scores(write(HEADER + LINES[1] + LINES[2])).truth()


def test_equal_lines_of_one_pair_count_as_they_stand(write):
    assert len(read_scores(write(HEADER + LINES[0] + LINES[0]))) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a header"),
        (HEADER, "expected trials below the header"),
        (LINES[0], ":1: expected a header"),
        ("label enrol test baseline\n" + LINES[0], ":1: expected a header"),
        ("label\tenrol\ttest\n", ":1: expected a header"),
        ("label\tenrol\ttest\ta\ta\n", ":1: expected each column once"),
        ("label\tenrol\ttest\ta b\n", ":1: expected a name without blanks"),
        (HEADER + LINES[0] + "0\ta\tb\t1\n", ":3: expected 5 columns as the header has, got 4"),
        (HEADER + LINES[0] + "0\ta\tb\t1\t2\t3\n", ":3: expected 5 columns as the header has, got 6"),
        (HEADER + "\n" + LINES[0], ":2: expected 5 columns"),
        (HEADER + "2\ta\tb\t1\t2\n", ":2: expected the label 0 or 1"),
        ("enrol\ttest\ts\n" + "a\tb\t1\t2\n", ":2: expected 3 columns as the header has, got 4"),
        ("enrol\ttest\n", ":1: expected a header"),
        ("test\tenrol\ts\n", ":1: expected a header"),
        (HEADER + "0\ta\t\t1\t2\n", ":2: expected a name"),
        (HEADER + "0\ta\t b\t1\t2\n", ":2: expected a name"),
        (HEADER + "0\ta\ta\t1\t2\n", ":2: says that 'a' is of another speaker than itself"),
        (HEADER + "0\ta/x.wav\t./a//x.wav\t1\t2\n", ":2: says that 'a/x.wav' is of another speaker than itself"),
        (HEADER + "0\t../a\tb\t1\t2\n", ":2: '../a' leads out of the corpus's folder"),
        (HEADER + "0\ta\tb\x1b[2J\t1\t2\n", ":2: expected a name"),
        (HEADER + "0\ta\tb\t1\tnan\n", ":2: expected numbers"),
        (HEADER + "0\ta\tb\tinf\t1\n", ":2: expected numbers"),
        (HEADER + "0\ta\tb\t1_0\t1\n", ":2: expected numbers"),
        (HEADER + "0\ta\tb\t 1\t1\n", ":2: expected numbers"),
        (HEADER + "0\ta\tb\t\t1\n", ":2: expected numbers"),
        (HEADER + "0\ta\tb\t1\t1 \n", ":2: expected numbers"),
        (HEADER + "0\ta\tb\t1\t1\t\n", ":2: expected 5 columns as the header has, got 6"),
        (HEADER + "0\ta\tb\t1\t1\r0\ta\tc\t1\t1\n", ":2: expected 5 columns as the header has, got 9"),
        (HEADER + "0\ta\tb\t٣\t1\n", ":2: expected numbers"),
        (HEADER + LINES[0] + "0\ta\tb\t1\t1e999\n", ":3: s-norm is too large"),
        (HEADER + LINES[0] + LINES[1] + LINES[0].replace("0.5", "0.6"), ":4: says something else .* of line 2"),
        (HEADER + LINES[0] + LINES[1] + LINES[0].replace("1\t", "0\t", 1), ":4: says something else .* of line 2"),
        (HEADER + LINES[0] + LINES[1][:-1], ":3: the file ends within a line"),
        ((HEADER + LINES[0]).encode("utf-16"), "expected UTF-8 text"),
    ],
)
def test_wrong_file_is_refused_with_the_line(write, text, message):
    with pytest.raises(InputError, match=message):
        read_scores(write(text))


def test_missing_file_and_column_are_named(write, tmp_path):
    with pytest.raises(InputError, match="no such score file"):
        read_scores(tmp_path / "none.tsv")
    with pytest.raises(InputError, match="no column 'plda'; the columns are baseline, s-norm"):
        read_scores(write(HEADER + LINES[0])).column("plda")


def test_speakers_come_from_names_or_a_table(write):
    table = read_scores(write(HEADER + "".join(LINES)))
    assert table.speakers() == {"a", "b"}
    assert table.speakers({"a/1.wav": "x", "a/2.wav": "y", "b/1.wav": "x"}) == {"x", "y"}
    with pytest.raises(InputError, match="no speaker known for 1 of 3 utterances, such as a/2.wav"):
        table.speakers({"a/1.wav": "x", "b/1.wav": "x"})
    with pytest.raises(InputError, match="no speaker known for 2 of 2"):
        read_scores(write(HEADER + "0\ta\tb\t1\t2\n")).speakers()


def test_align_matches_trials_by_name(write):
    first = read_scores(write(HEADER + "".join(LINES)))
    other = read_scores(write(HEADER + "".join(LINES[::-1]), "other.tsv"))
    rows = align({"a": first, "b": other})
    assert other.columns["s-norm"][rows["b"]].tolist() == first.columns["s-norm"].tolist()
    assert rows["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (LINES[:2], "1 are in one of them alone, such as b/1.wav a/1.wav"),
        ([*LINES, "0\tc\td\t1\t1\n"], "1 are in one of them alone, such as c d"),
        ([LINES[1], LINES[0].replace("1", "0", 1), LINES[2]], "scores.tsv:2 and .*other.tsv:3: different labels"),
    ],
)
def test_align_refuses_other_trials(write, lines, message):
    first = read_scores(write(HEADER + "".join(LINES)))
    with pytest.raises(InputError, match=message):
        align({"a": first, "b": read_scores(write(HEADER + "".join(lines), "other.tsv"))})


def test_names_have_one_spelling_and_may_hold_spaces(write):
    lines = ["1\t./a/1 x.wav\ta/2.wav\t1\t2\n", "0\twav/a//1 x.wav\tb/1.wav\t1\t2\n"]
    table = read_scores(write(HEADER + "".join(lines)))
    assert (table.enrol, table.test) == (["a/1 x.wav"] * 2, ["a/2.wav", "b/1.wav"])
    assert table.speakers() == {"a", "b"}
