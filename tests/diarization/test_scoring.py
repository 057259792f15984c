"""DER, JER and numbers of speakers, by hand and by properties."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mindvox.cli import main
from mindvox.diarization.rttm import write_rttm
from mindvox.diarization.scoring import Errors, Measure, score, score_all, total
from mindvox.diarization.turns import Turn
from mindvox.errors import InputError, UsageError

pytest.importorskip("pyannote.metrics", reason="the extra diarization is not installed")
REFERENCE = [Turn(0, 10, "A"), Turn(8, 14, "B")]  # 16 s of speech, 2 s of which are overlap, twice
FEW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_parts_of_the_error_are_those_by_hand():
    found = score(REFERENCE, [Turn(1, 9, "x"), Turn(9, 15, "y")])
    # missed: A in 0-1, B in 8-9, A in 9-10; false alarm: 14-15
    assert (found.missed_s, found.false_alarm_s, found.confusion_s, found.speech_s) == (3, 1, 0, 16)
    assert found.der == 4 / 16
    # A: union 10, common 8; B: union 7, common 5
    assert found.jer == pytest.approx((0.2 + 2 / 7) / 2)


def test_confusion_is_the_least_that_a_mapping_gives():
    found = score([Turn(0, 4, "A"), Turn(4, 10, "B")], [Turn(0, 5, "1"), Turn(5, 10, "2")])
    assert (found.missed_s, found.false_alarm_s, found.confusion_s) == (0, 0, 1)
    one = score([Turn(0, 4, "A"), Turn(4, 10, "B")], [Turn(0, 10, "1")])
    assert (one.confusion_s, one.num_speakers, one.num_found, one.count_error, one.num_right_counts) == (4, 2, 1, 1, 0)


def test_collar_is_on_each_side_and_overlap_can_be_left_out():
    hypothesis = [Turn(0.2, 10.2, "x"), Turn(8.2, 14.2, "y")]
    assert score(REFERENCE, hypothesis).der > 0
    assert score(REFERENCE, hypothesis, Measure(collar_s=0.25)).der == 0
    assert score(REFERENCE, hypothesis, Measure(collar_s=0.1)).der > 0
    alone = score(REFERENCE, [Turn(0, 8, "x"), Turn(10, 14, "y")], Measure(skip_overlap=True))
    assert (alone.speech_s, alone.der) == (12, 0)
    with pytest.raises(ValueError, match="collar_s"):
        Measure(-0.1)


def test_recordings_without_speech_have_no_rate_but_their_false_alarms_count():
    silent = score([], [Turn(0, 2, "x")], parts=[(0, 30)])
    assert silent.der is None and silent.jer is None and silent.false_alarm_s == 2
    assert score([], []) == Errors(num_recordings=1, num_right_counts=1)
    both = total({"a": silent, "b": score(REFERENCE, REFERENCE)})
    assert both.der == 2 / 16 and both.num_recordings == 2


def test_parts_limit_what_is_scored():
    assert score(REFERENCE, [], parts=[(0, 1), (12, 20)]).missed_s == 3


def test_recordings_are_matched_by_name():
    errors = score_all({"a": REFERENCE, "b": REFERENCE}, {"b": REFERENCE})
    assert [errors[name].der for name in ("a", "b")] == [1.0, 0.0]
    with pytest.raises(InputError, match="the hypothesis has c, the reference does not. .*UEM file"):
        score_all({"a": REFERENCE}, {"c": REFERENCE})
    silent = score_all({"a": REFERENCE}, {"c": REFERENCE}, parts={"c": [(0, 20)]})
    assert silent["c"].false_alarm_s == 16
    with pytest.raises(InputError, match="no recording is in both: the reference has b"):
        score_all({"a": REFERENCE}, {"a": REFERENCE}, parts={"b": [(0, 20)]})


TIMES = st.integers(0, 40).map(lambda tick: tick / 4)
TURNS = st.lists(
    st.tuples(TIMES, TIMES, st.sampled_from("ABC"))
    .filter(lambda t: t[0] != t[1])
    .map(lambda t: Turn(min(t[:2]), max(t[:2]), t[2])),
    min_size=1,
    max_size=6,
)


def rates(reference, hypothesis) -> tuple:
    found = score(reference, hypothesis)
    return found.der, found.jer, found.missed_s, found.false_alarm_s, found.confusion_s


def close(first: tuple, second: tuple) -> bool:
    return all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(first, second, strict=True))


@FEW
@given(TURNS, TURNS, st.permutations("xyz"))
def test_names_do_not_matter(reference, hypothesis, names):
    changed = [turn._replace(speaker=names["ABC".index(turn.speaker)]) for turn in hypothesis]
    before, after = rates(reference, hypothesis), rates(reference, changed)
    assert close(before[:1] + before[2:], after[:1] + after[2:])  # the JER's mapping may be one of several as good


@FEW
@given(TURNS, TURNS, st.integers(0, 400))
def test_time_shift_does_not_matter(reference, hypothesis, ticks):
    def moved(turns):
        return [Turn(turn.start_s + ticks / 4, turn.end_s + ticks / 4, turn.speaker) for turn in turns]

    assert close(rates(reference, hypothesis), rates(moved(reference), moved(hypothesis)))


@FEW
@given(TURNS, TURNS)
def test_splitting_turns_does_not_matter(reference, hypothesis):
    def split(turns):
        middles = [(turn, (turn.start_s + turn.end_s) / 2) for turn in turns]
        return [turn._replace(end_s=m) for turn, m in middles] + [turn._replace(start_s=m) for turn, m in middles]

    assert close(rates(reference, hypothesis), rates(split(reference), split(hypothesis)))


@FEW
@given(TURNS)
def test_reference_has_no_errors_against_itself(turns):
    assert close(rates(turns, turns), (0, 0, 0, 0, 0))


# The command


@pytest.fixture
def files(tmp_path):
    write_rttm(tmp_path / "ref.rttm", {"talk": REFERENCE})
    write_rttm(tmp_path / "hyp.rttm", {"talk": [Turn(1, 9, "x"), Turn(9, 15, "y")]})
    return [str(tmp_path / "ref.rttm"), str(tmp_path / "hyp.rttm")]


def test_command_prints_each_recording_and_all(files, capsys):
    assert main(["score-rttm", *files]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["talk", "25.00", "18.75", "6.25", "0.00", "24.29", "2", "2", "16.0"]
    assert lines[2].split()[:2] == ["total", "25.00"]
    assert lines[-1] == "no collar, overlap scored; number of speakers right in 1 of 1 recordings"
    assert main(["score-rttm", *files, "--collar", "0.25", "--skip_overlap", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["measure"] == {"collar_s": 0.25, "skip_overlap": True}
    assert found["total"]["missed_s"] == pytest.approx(0.75)  # A in 0.25-1; 7.75-10.25 is not scored


def test_command_shows_a_dash_without_speech(files, tmp_path, capsys):
    (tmp_path / "all.uem").write_text("talk 1 20 30\n")
    assert main(["score-rttm", *files, "--uem", str(tmp_path / "all.uem")]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["talk", "-", "-"]


def test_command_refuses_a_negative_collar(files):
    with pytest.raises(UsageError, match="--collar: expected 0 to 60 s, got -1"):
        main(["score-rttm", *files, "--collar", "-1"])
