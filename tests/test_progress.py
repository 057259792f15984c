"""Rates and times of long jobs."""

import pytest

from mindvox import progress
from mindvox.progress import Progress, duration, quantity


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def test_rate_and_time_left_follow_from_what_is_done(clock):
    counter = Progress(100, "files")
    clock[0] += 10
    assert counter.add(20) == "20/100 files, 2.0 files/s, 0:00:40 left"


def test_what_was_done_before_does_not_count_for_the_rate(clock):
    counter = Progress(100, "MB")
    counter.restart(50)
    clock[0] += 10
    assert counter.add(10) == "60/100 MB, 1.0 MB/s, 0:00:40 left"


def test_unknown_total_has_no_time_left(clock):
    counter = Progress(0, "files")
    clock[0] += 2
    assert counter.add(3) == "3 files, 1.5 files/s"


def test_lines_come_now_and_then(clock, capsys):
    counter = Progress(10, "files")
    for _ in range(3):
        clock[0] += 6
        counter.show(1, "unpacked ")
    assert capsys.readouterr().out == "unpacked 2/10 files, 0.2 files/s, 0:00:48 left\n"


def test_days_stand_in_front():
    assert duration(90061.2) == "1 day, 1:01:01"


@pytest.mark.parametrize(
    ("count", "words", "expected"),
    [
        (1, ("batch", "batches"), "1 batch"),
        (2, ("batch", "batches"), "2 batches"),
        (0, ("step",), "0 steps"),
        (1, ("step",), "1 step"),
    ],
)
def test_quantities_have_the_singular_for_one(count, words, expected):
    assert quantity(count, *words) == expected
