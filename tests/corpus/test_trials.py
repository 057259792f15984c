import pytest

from mindvox.corpus.trials import (
    Trial,
    count_repeated,
    count_self_trials,
    find_trial_list,
    read_enrol_map,
    read_names,
    read_trials,
    speaker_of,
    write_trials,
)
from mindvox.errors import InputError, UsageError


@pytest.fixture
def write(tmp_path):
    def write(content: bytes):
        path = tmp_path / "trials.txt"
        path.write_bytes(content)
        return path

    return write


def test_voxceleb_form(write):
    path = write(b"1 id1/a/1.wav id1/b/2.wav\n0 id1/a/1.wav id2/c/3.wav\n")
    assert read_trials(path) == [
        Trial(True, "id1/a/1.wav", "id1/b/2.wav"),
        Trial(False, "id1/a/1.wav", "id2/c/3.wav"),
    ]


def test_kaldi_form(write):
    path = write(b"a/1.wav a/2.wav target\na/1.wav b/2.wav nontarget\n")
    assert read_trials(path, "kaldi") == [Trial(True, "a/1.wav", "a/2.wav"), Trial(False, "a/1.wav", "b/2.wav")]


def test_blank_lines_tabs_windows_line_ends_and_byte_order_mark(write):
    path = write("\ufeff1\ta/1.wav  a/2.wav\r\n\r\n0 a/1.wav b/1.wav\r\n".encode())
    assert read_trials(path) == [Trial(True, "a/1.wav", "a/2.wav"), Trial(False, "a/1.wav", "b/1.wav")]


@pytest.mark.parametrize("line", ["a/1.wav a/2.wav", "1 a/1.wav a/2.wav 0.5", "2 a/1.wav a/2.wav", "a b target"])
def test_a_line_of_another_form_is_named(write, line):
    path = write(f"1 a/1.wav a/2.wav\n\n{line}\n".encode())
    with pytest.raises(InputError) as caught:
        read_trials(path)
    assert str(caught.value).startswith(f"{path}:3: expected '<0|1> <enrol> <test>', got '{line}'.")
    assert "trial_format: kaldi" in str(caught.value)


def test_a_voxceleb_list_read_as_kaldi_says_which_setting_to_change(write):
    with pytest.raises(InputError, match="set trial_format: voxceleb"):
        read_trials(write(b"1 a/1.wav a/2.wav\n"), "kaldi")


def test_a_long_line_is_shortened(write):
    with pytest.raises(InputError) as caught:
        read_trials(write(b"x" * 10000))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_list_without_trials(write, content):
    with pytest.raises(InputError, match="got no line"):
        read_trials(write(content))


@pytest.mark.parametrize("content", [b"\xff\xfe1\x00 \x00a\x00", bytes(range(128, 256)) * 10])
def test_other_bytes_than_utf8_text(write, content):
    with pytest.raises(InputError, match=r"trials\.txt:1: expected UTF-8 text, got .* Save the trial list as UTF-8"):
        read_trials(write(content))


def test_a_missing_list(tmp_path):
    with pytest.raises(InputError, match="no such trial list"):
        read_trials(tmp_path / "none.txt")


def test_an_unknown_form(write):
    with pytest.raises(UsageError, match="expected one of voxceleb, kaldi, cnceleb, voxsrc, got 'sre'"):
        read_trials(write(b"1 a b\n"), "sre")


def test_written_trials_are_read_again(tmp_path):
    trials = [Trial(True, "a/1.wav", "a/2.wav"), Trial(False, "a/1.wav", "b/1.wav")]
    write_trials(tmp_path / "t.txt", trials)
    assert (tmp_path / "t.txt").read_text() == "1 a/1.wav a/2.wav\n0 a/1.wav b/1.wav\n"
    assert read_trials(tmp_path / "t.txt") == trials


def test_the_speaker_is_the_first_folder():
    assert speaker_of("id10270/x6uYqmx31kE/00001.wav") == "id10270"


def test_a_list_is_found_as_given_then_in_the_folder(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    (folder / "t.txt").touch()
    assert find_trial_list("t.txt", folder) == folder / "t.txt"
    (tmp_path / "t.txt").touch()
    assert str(find_trial_list("t.txt", folder)) == "t.txt"


def test_a_list_in_neither_place_names_both(tmp_path):
    with pytest.raises(InputError) as caught:
        find_trial_list("none.txt", tmp_path)
    assert "none.txt and for" in str(caught.value)
    assert str(tmp_path / "none.txt") in str(caught.value)


def test_cn_celebs_form(write):
    path = write(b"id00800-enroll test/id00800-singing-01-002.wav 1\nid00800-enroll test/id00801-speech-01-001.wav 0\n")
    assert [trial.is_target for trial in read_trials(path, "cnceleb")] == [True, False]
    assert read_trials(path, "cnceleb")[0][1:] == ("id00800-enroll", "test/id00800-singing-01-002.wav")


def test_a_blind_list_has_two_columns_and_no_truth(write):
    assert read_trials(write(b"a/1.wav b/1.wav\n"), "voxsrc") == [Trial(None, "a/1.wav", "b/1.wav")]
    with pytest.raises(InputError, match="trials.txt:1: expected '<enrol> <test>'.*set trial_format: voxceleb"):
        read_trials(write(b"1 a/1.wav b/1.wav\n"), "voxsrc")


@pytest.mark.parametrize("second", ["0 a b", "0 b a"])
@pytest.mark.parametrize("repeated", ["keep", "error"])
def test_trials_that_contradict_each_other_are_always_refused(write, second, repeated):
    path = write(f"1 a b\n0 a c\n{second}\n".encode())
    with pytest.raises(InputError, match="trials.txt:3: says the opposite of line 1"):
        read_trials(path, "voxceleb", repeated)


def test_repeated_trials_are_kept_or_refused(write):
    path = write(b"1 a b\n\n1 a b\n1 b a\n")
    trials = read_trials(path, "voxceleb", "keep")
    assert len(trials) == 3 and count_repeated(trials) == 1  # swapped sides are another trial
    with pytest.raises(InputError, match="trials.txt:3: the same trial as line 1"):
        read_trials(path, "voxceleb", "error")


@pytest.mark.parametrize("name", ["a\x00b", "a\x1bb", "a\u202eb"])
def test_names_with_control_characters_are_refused(write, name):
    with pytest.raises(InputError, match="trials.txt:2"):
        read_trials(write(f"1 a b\n0 c {name}\n".encode()))


# One recording has many spellings. Second variants: Windows paths, absolute paths, NFD (tests/names_cases.json).
@pytest.mark.parametrize(
    ("trial_format", "line"),
    [
        ("voxceleb", "1 {a} {b}"),
        ("kaldi", "{a} {b} target"),
        ("cnceleb", "{a} {b} 1"),
        ("voxsrc", "{a} {b}"),
        ("voxceleb", "1\t{a}\t{b}"),
        ("kaldi", "{a}\t{b}\ttarget"),
    ],
)
@pytest.mark.parametrize("spelling", ["./a/s/{}", "a//s/./{}", "wav/a/s/{}", "/data/wav/a/s/{}", "a\\s\\{}"])
def test_every_form_knows_a_name_by_each_spelling(write, trial_format, line, spelling):
    text = line.format(a=spelling.format("1.wav"), b=spelling.format("2.wav"))
    (trial,) = read_trials(write(text.encode()), trial_format)
    assert trial[1:] == ("a/s/1.wav", "a/s/2.wav")


def test_two_spellings_of_one_trial_are_a_repeat(write):
    path = write(b"1 a/1.wav a/2.wav\n1 ./a/1.wav a//2.wav\n")
    assert count_repeated(read_trials(path)) == 1
    with pytest.raises(InputError, match=":2: the same trial as line 1"):
        read_trials(path, repeated_trials="error")
    with pytest.raises(InputError, match=":2: says the opposite of line 1"):
        read_trials(write(b"1 a/1.wav a/2.wav\n0 ./a/2.wav wav/a/1.wav\n"))


def test_a_path_that_leaves_the_corpus_is_refused(write):
    with pytest.raises(InputError, match=r":2: '../../a/2.wav' leads out"):
        read_trials(write(b"1 a/1.wav a/2.wav\n1 a/1.wav ../../a/2.wav\n"))


def test_names_with_spaces_stand_between_tabs(tmp_path, write):
    trials = [Trial(True, "an na/x 1.wav", "an na/2.wav"), Trial(False, "an na/x 1.wav", "b/1.wav")]
    write_trials(tmp_path / "list", trials)
    assert (tmp_path / "list").read_text().splitlines()[0] == "1\tan na/x 1.wav\tan na/2.wav"
    assert read_trials(tmp_path / "list") == trials
    assert read_names(write(b"an na/x 1.wav\n./an na/x 1.wav\nb/1.wav\n")) == {"an na/x 1.wav": 1, "b/1.wav": 3}
    path = write(b"m 1\tan na/x 1.wav\t./an na/2.wav\n")
    assert read_enrol_map(path, ["an na/x 1.wav", "an na/2.wav"]) == {"m 1": ["an na/x 1.wav", "an na/2.wav"]}
    assert read_enrol_map(write(b"m\ta/1.wav a/2.wav\n"), ["a/1.wav", "a/2.wav"]) == {"m": ["a/1.wav", "a/2.wav"]}


def test_an_utterance_is_not_of_another_speaker_than_itself(write):
    with pytest.raises(InputError, match=":2: says that 'a/1.wav' is of another speaker than itself"):
        read_trials(write(b"1 a/1.wav a/2.wav\n0 a/1.wav ./a/1.wav\n"))
    assert count_self_trials(read_trials(write(b"1 a/1.wav a/1.wav\n0 a/1.wav b/1.wav\n"))) == 1
    assert count_self_trials([Trial(None, "m", "a/1.wav"), Trial(None, "n", "a/1.wav")], {"m": ["a/1.wav"]}) == 1
