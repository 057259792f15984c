import pytest

from src.corpus.trials import Trial, count_repeated, find_trial_list, read_trials, speaker_of, write_trials
from src.errors import InputError, UsageError


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
