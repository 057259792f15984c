"""Learning rate and margin over a run."""

import json
import math

import pytest

from mindvox.config import Config, load_config
from mindvox.data.pipeline import open_batches
from mindvox.errors import UsageError
from mindvox.registry import SCHEDULES
from mindvox.training.schedule import Schedule
from mindvox.training.schedules.cyclic import triangle
from tests.training.runs import write_store
from tests.vectors import STORED


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


THEIRS = json.loads((STORED / "schedules.json").read_text(encoding="utf-8"))
OF_THEIRS = {  # options that make the rates of tests/vectors/make_schedules.py
    "step": ("--schedule=step", "--max_lrate=1e-3", "--schedule.step_epochs=2", "--schedule.step_factor=0.95"),
    "inverse": ("--schedule=inverse", "--max_lrate=1e-3", "--schedule.decay=0.01"),
    "triangular2": ("--base_lrate=1e-5", "--max_lrate=1e-3", "--step_size=6", "--schedule.cycle_decay=0.5"),
    "cosine_annealing": ("--schedule=cosine", "--base_lrate=0", "--max_lrate=1e-3", "--schedule.decay_epochs=7"),
    "warmup_cosine": (
        *("--schedule=cosine", "--base_lrate=1e-5", "--max_lrate=1e-3", "--warmup_epochs=2"),
        "--schedule.warmup_start=0.01",
    ),
}


@pytest.mark.parametrize("name", OF_THEIRS)
def test_rates_are_those_of_pytorchs_and_mvectors_schedulers(name):
    found = schedule(*OF_THEIRS[name], "--num_epochs=6", num_batches=7)
    assert rates(found, range(42)) == pytest.approx(THEIRS[name], rel=1e-12)


def test_step_with_warm_up_is_wespeakers():
    """Its WarmupLR_withStepDecay: (n + 1) / (w + 1) for w updates, then a step for every so many behind them."""
    options = ("--schedule=step", "--max_lrate=0.1", "--warmup_epochs=2", f"--schedule.warmup_start={1 / 201}")
    found = schedule(*options, "--schedule.step_epochs=1", "--schedule.step_factor=0.1", "--num_epochs=6")
    updates = (0, 1, 199, 200, 299, 300, 450, 599)
    expected = [0.1 * ((n + 1) / 201 if n < 200 else 0.1 ** ((n - 200) // 100)) for n in updates]
    assert rates(found, updates) == pytest.approx(expected)


def test_exponential_warms_up_from_one_device_as_wespeakers_does():
    """Its coefficient rises from 1 to the number of devices when warm_from_zero is False."""
    options = ("--schedule=exponential", *DECAY, "--scale_lrate=linear", "--schedule.warmup_start=0.5")
    updates = (0, 300, 600, 601)
    expected = [min(2, 1 + n / 600) * 0.1 * math.exp(n / 15000 * math.log(5e-5 / 0.1)) for n in updates]
    assert rates(schedule(*options, num_ranks=2), updates) == pytest.approx(expected)


def test_step_comes_with_the_epoch_when_accumulated_batches_do_not_divide_it():
    options = ("--schedule=step", "--max_lrate=1", "--schedule.step_epochs=1", "--schedule.step_factor=0.5")
    found = schedule(*options, "--num_epochs=60", "--accumulate_steps=3", num_batches=10)
    assert rates(found, range(0, 60, 10)) == [0.5**epoch for epoch in range(0, 18, 3)]
    assert rates(found, (9, 19, 29)) == [0.5**2, 0.5**5, 0.5**8]


def test_what_counts_in_updates_comes_sooner_with_the_scale_rule():
    options = ("--schedule=inverse", "--max_lrate=1", "--schedule.decay=0.01", "--scale_lrate=sqrt")
    assert rates(schedule(*options, num_ranks=4), (0, 25)) == [2, 1]


OPTIONS = {
    "cyclic": ("--base_lrate=1", "--max_lrate=3", "--step_size=7000"),
    "exponential": DECAY,
    "cosine": DECAY,
    "step": ("--num_epochs=150", "--warmup_epochs=6"),
    "inverse": ("--num_epochs=150", "--warmup_epochs=6"),
}


@pytest.mark.parametrize("minutes", [0, 10])
@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_rates_follow_from_the_moment_alone(name, minutes):
    """A run that goes on has the rates of one that was not stopped, and every device has those of the others."""
    options = (f"--schedule={name}", *OPTIONS[name], f"--max_train_minutes={minutes}")
    moments = [(update, update / 25) for update in range(0, 15000, 500)]
    first, other = schedule(*options, num_ranks=2), schedule(*options, num_ranks=2)
    ahead = [first.lrate(*moment) for moment in moments]
    assert len(set(ahead)) > 5
    assert [other.lrate(*moment) for moment in reversed(moments)] == ahead[::-1]


def test_two_devices_have_the_same_rates_of_parts_of_a_store(tmp_path):
    store = write_store(tmp_path / "store", num_speakers=5)  # 20 records: 2 global batches of 2 * 4, and 4 are left
    options = ("--schedule=step", "--schedule.step_epochs=1", "--num_epochs=3", "--minibatch_size=4")
    config = load_config(Config, [*options, f"--train_data_path={store}"])
    found = [Schedule(config, open_batches(config, rank, 2).num_batches(), 2) for rank in (0, 1)]
    assert rates(found[0], range(6)) == rates(found[1], range(6))
    assert rates(found[0], range(6)) == pytest.approx([1e-4 * 0.95 ** (update // 2) for update in range(6)])


SHORT = {"num_batches": 1}


@pytest.mark.parametrize(
    ("options", "said", "remedy"),
    [
        ([], "never reaches max_lrate 0.0001. Set step_size: 2 ", ["--step_size=2", "--num_epochs=4"]),
        (["--schedule=step"], "stays at max_lrate 0.0001. Set step_epochs: 1 ", ["--schedule.step_epochs=1"]),
        (["--schedule=inverse"], "falls by less than 1%. Set decay: 0.33 ", ["--schedule.decay=0.33"]),
        (
            ["--schedule=cosine", "--schedule.decay_epochs=90"],
            "hardly falls. Set decay_epochs: 0",
            ["--schedule.decay_epochs=0"],
        ),
    ],
)
def test_schedule_that_cannot_move_says_what_to_set(options, said, remedy):
    """As with 251 recordings: a batch of 192 an epoch, three epochs."""
    found = schedule(*options, **SHORT).standstill()
    assert f"schedule {options[0].partition('=')[2] if options else 'cyclic'}: " in found and said in found
    assert schedule(*options, *remedy, **SHORT).standstill() == ""


@pytest.mark.parametrize(
    "options",
    [
        ["--max_train_minutes=10"],
        ["--base_lrate=1e-4"],
        ["--schedule=exponential"],
        ["--schedule=cosine"],
        ["--schedule=inverse", "--max_train_minutes=10"],
    ],
)
def test_schedule_that_moves_or_is_meant_to_be_constant_says_nothing(options):
    assert schedule(*options, **SHORT).standstill() == ""


MARGIN = ("--margin=0.2", "--margin_from_epoch=20", "--margin_to_epoch=40")


def margin(found: Schedule, update: int, elapsed_s: float = 0.0) -> float:
    """Return the margin of the objective after some updates."""
    moment = found.moment(update, elapsed_s)
    return found.config.loss.build(4, 5).schedule(moment.epochs, moment.update, moment.share)["margin"]


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


@pytest.mark.parametrize(("name", "growth"), [("margin_exp", "exponential"), ("margin_linear", "linear")])
def test_margin_grows_over_shares_of_the_run_as_mvectors_does(name, growth):
    shares = (f"--loss.margin_from_share={1 / 6}", f"--loss.margin_to_share={4 / 6}")
    options = ("--margin=0.3", "--margin_start=0.05", f"--margin_growth={growth}", *shares)
    found = schedule(*options, "--num_epochs=6", num_batches=7)
    assert [margin(found, n) for n in range(42)] == pytest.approx(THEIRS[name], abs=1e-6)
    by_time = schedule(*options, "--max_train_minutes=1", num_batches=7)
    assert margin(by_time, 0, 20.0) == pytest.approx(margin(found, 14))  # a third of the run


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--loss.margin_from_share=0.3"], "margin_from_share: expected at most margin_to_share 0"),
        (["--loss.margin_to_share=1.2"], "margin_to_share: expected at most 1"),
        (["--loss.margin_to_share=0.7", "--margin_to_epoch=4"], "by epochs or by shares of the run"),
        (["--schedule=step", "--schedule.warmup_start=0.1"], "warmup_start: there is no warm-up"),
        (["--schedule.cycle_decay=2"], "cycle_decay: expected at most 1"),
        (
            ["--schedule=cosine", "--warmup_epochs=2", "--schedule.decay_epochs=2"],
            "decay_epochs: expected more than warmup_epochs 2",
        ),
        (["--optimizer=sgd", "--amsgrad"], "amsgrad: works with optimizer adam only"),
        (["--schedule=exponential", "--base_lrate=0"], "base_lrate: an exponential schedule"),
        (
            ["--warmup_epochs=1"],
            "warmup_epochs: schedule cyclic has no such key; cosine, exponential, inverse, step have",
        ),
        (["--schedule=step", "--step_size=9"], "step_size: schedule step has no such key; cyclic have it"),
        (["--schedule=cosine", "--warmup_epochs=3"], "warmup_epochs: expected less than num_epochs 3"),
        (["--margin_from_epoch=5", "--margin_to_epoch=4"], "margin_from_epoch: expected at most margin_to_epoch 4"),
        (["--optimizer=sgd", "--momentum=0"], "nesterov: needs a momentum"),
        (["--schedule=steps"], "schedule: expected one of cosine, cyclic, exponential, inverse, step, got 'steps'"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        load_config(Config, options, check=("loss",))
