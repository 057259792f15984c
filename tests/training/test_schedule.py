"""The triangular learning rate."""

import pytest

from src.training.schedule import CyclicLearningRate, triangle


def test_triangle_rises_to_its_peak_and_falls():
    assert [triangle(position, 0.25) for position in (0, 0.125, 0.25, 0.625, 1)] == [0, 0.5, 1, 0.5, 0]


def test_triangle_is_zero_outside():
    assert triangle(-1) == triangle(2) == 0


def test_cycle_over_steps_peaks_at_step_size_and_repeats():
    schedule = CyclicLearningRate(1.0, 3.0, step_size=10)
    assert [schedule.at(step, 0.0) for step in (0, 5, 10, 15, 20, 30)] == pytest.approx([1, 2, 3, 2, 1, 3])


def test_cycle_over_time_ignores_steps_and_ends_at_the_base():
    schedule = CyclicLearningRate(1.0, 3.0, step_size=10, cycle_peak=0.3, span_s=100.0)
    assert [schedule.at(7, elapsed) for elapsed in (0, 30, 65, 100, 130)] == pytest.approx([1, 3, 2, 1, 1])
