"""Learning rate and margin over a run."""

import math

import pytest

from mindvox.config import Config, load_config
from mindvox.errors import UsageError
from mindvox.training.schedule import Schedule, triangle


def schedule(*options, num_batches=100, num_ranks=1):
    return Schedule(load_config(Config, list(options)), num_batches, num_ranks)


def rates(found, updates):
    return [found.lrate(update, 0.0) for update in updates]


CYCLE = ("--base_lrate=1", "--max_lrate=3", "--step_size=10")


def test_triangle_rises_to_its_peak_and_falls():
    assert [triangle(position, 0.25) for position in (0, 0.125, 0.25, 0.625, 1)] == [0, 0.5, 1, 0.5, 0]


def test_triangle_is_zero_outside():
    assert triangle(-1) == triangle(2) == 0


def test_cycle_over_steps_peaks_at_step_size_and_repeats():
    assert rates(schedule(*CYCLE), (0, 5, 10, 15, 20, 30)) == pytest.approx([1, 2, 3, 2, 1, 3])


def test_cycle_over_time_ignores_steps_and_ends_at_the_base():
    found = schedule(*CYCLE, "--cycle_peak=0.3", "--max_train_minutes=2")
    assert found.span_s == 120
    assert [found.lrate(7, elapsed) for elapsed in (0, 36, 78, 120, 130)] == pytest.approx([1, 3, 2, 1, 1])


DECAY = ("--base_lrate=5e-5", "--max_lrate=0.1", "--num_epochs=150", "--warmup_epochs=6")


def test_exponential_equals_wespeakers_with_warm_up_from_zero():
    """Its ExponentialDecrease: the decay runs from the first update on, the warm-up is a factor on it."""
    updates = (0, 1, 300, 599, 600, 601, 7500, 14999)
    expected = [min(1, n / 600) * 0.1 * math.exp(n / 15000 * math.log(5e-5 / 0.1)) for n in updates]
    assert rates(schedule("--schedule=exponential", *DECAY), updates) == pytest.approx(expected)


def test_exponential_ends_at_the_least_rate_and_stays_there():
    assert rates(schedule("--schedule=exponential", *DECAY), (15000, 20000)) == pytest.approx([5e-5, 5e-5])


def test_cosine_falls_from_the_end_of_the_warm_up_to_the_least_rate():
    found = schedule(
        "--schedule=cosine", "--base_lrate=0.01", "--max_lrate=0.2", "--num_epochs=25", "--warmup_epochs=5"
    )
    assert rates(found, (0, 250, 500, 1500, 2500, 3000)) == pytest.approx([0, 0.1, 0.2, 0.105, 0.01, 0.01])


@pytest.mark.parametrize("name", ["exponential", "cosine"])
def test_epochs_spread_over_the_time_of_a_run_bound_by_time(name):
    by_steps = schedule(f"--schedule={name}", *DECAY)
    by_time = schedule(f"--schedule={name}", *DECAY, "--max_train_minutes=10")
    assert [by_time.lrate(0, elapsed) for elapsed in (0, 12, 300, 600)] == pytest.approx(
        rates(by_steps, (0, 300, 7500, 15000))
    )


def test_accumulated_batches_make_fewer_updates_of_an_epoch():
    whole = schedule("--schedule=exponential", *DECAY)
    grouped = schedule("--schedule=exponential", *DECAY, "--accumulate_steps=4")
    assert rates(grouped, (75, 150, 2000)) == pytest.approx(rates(whole, (300, 600, 8000)))


@pytest.mark.parametrize(("rule", "factor", "cycle"), [("none", 1, 20), ("linear", 4, 5), ("sqrt", 2, 5)])
def test_scale_rule_raises_the_rate_and_shortens_the_cycle(rule, factor, cycle):
    options = (*CYCLE, f"--scale_lrate={rule}", "--accumulate_steps=2")
    found = schedule(*options, num_ranks=2)
    assert rates(found, (0, cycle)) == pytest.approx([factor, factor])
    assert rates(found, (cycle // 2,)) == pytest.approx([factor * (1 + 2 * triangle(cycle // 2 / cycle))])


MARGIN = ("--margin=0.2", "--margin_from_epoch=20", "--margin_to_epoch=40")


def margin(found: Schedule, update: int, elapsed_s: float = 0.0) -> float:
    """Return the margin of the objective after some updates."""
    loss = found.config.loss.build(4, 5)
    return loss.schedule(found.epochs(update, elapsed_s))["margin"]


def test_margin_is_whole_from_the_start_by_default():
    assert margin(schedule("--margin=0.3"), 0) == 0.3


def test_margin_grows_exponentially_as_wespeakers_does():
    found = schedule(*MARGIN)
    updates = (0, 1900, 2400, 2900, 3899, 3900, 9999)
    ratio = [1 - math.exp((n - 1900) / 2000 * math.log(1e-3 / (1 + 1e-6))) for n in (2400, 2900, 3899)]
    expected = [0, 0, *(0.2 * value for value in ratio), 0.2, 0.2]
    assert [margin(found, update) for update in updates] == pytest.approx(expected, abs=1e-6)


def test_margin_grows_evenly_from_its_start_when_linear():
    found = schedule(*MARGIN, "--margin_start=0.1", "--margin_growth=linear")
    assert [margin(found, n) for n in (0, 1900, 2900, 3900)] == pytest.approx([0.1, 0.1, 0.15, 0.2])


def test_margin_that_jumps_does_so_at_its_epoch():
    found = schedule("--margin_from_epoch=3", "--margin_to_epoch=3")
    assert [margin(found, n) for n in (0, 199, 200)] == [0, 0, 0.2]


def test_margin_follows_time_in_a_run_bound_by_time():
    found = schedule(*MARGIN, "--num_epochs=100", "--max_train_minutes=1", "--margin_growth=linear")
    assert [margin(found, 0, elapsed) for elapsed in (0, 17.4, 23.4)] == pytest.approx([0, 0.1, 0.2])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--schedule=exponential", "--base_lrate=0"], "base_lrate: an exponential schedule"),
        (["--warmup_epochs=1"], "warmup_epochs: expected 0 with schedule cyclic"),
        (["--schedule=cosine", "--warmup_epochs=3"], "warmup_epochs: expected less than num_epochs 3"),
        (["--margin_from_epoch=5", "--margin_to_epoch=4"], "margin_from_epoch: expected at most margin_to_epoch 4"),
        (["--optimizer=sgd", "--momentum=0"], "nesterov: needs a momentum"),
        (["--schedule=step"], "schedule: expected one of cyclic, exponential, cosine"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        load_config(Config, options, check=("loss",))
