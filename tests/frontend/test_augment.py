"""Stages: what they are called, what they draw, what they need, and that a seed decides everything."""

import pickle

import numpy as np
import pytest

from mindvox.config import AugmentationOptions, Config, TrainPrepConfig, load_config
from mindvox.errors import UsageError
from mindvox.frontend import augment, distortions
from mindvox.frontend.augment import STAGES, STEPS, Augmenter, FeatureMasks, Stage, parse_stages

NUM_SAMPLES = 8000


class Recordings:
    """Noises or rooms in memory, with MUSAN's parts when names say so."""

    def __init__(self, num_samples=(20000, 3000, 9000), kinds=()):
        rng = np.random.default_rng(0)
        self.arrays = [rng.standard_normal(length).astype(np.float32) for length in num_samples]
        self.kinds = kinds
        self.reads = 0

    def __len__(self):
        return len(self.arrays)

    def num_samples(self, index):
        return len(self.arrays[index])

    def segment(self, index, start, length):
        return np.resize(np.roll(self.arrays[index], -start), length)

    def of_kind(self, kind):
        return Recordings((5000,), ()) if kind in self.kinds else Recordings((), ())

    def response(self, index):
        self.reads += 1
        return self.arrays[index][:500] * np.exp(-np.arange(500) / 100).astype(np.float32)


def speech(num_samples=NUM_SAMPLES):
    return (0.1 * np.random.default_rng(5).standard_normal(num_samples)).astype(np.float32)


def voices(rng, num_voices, num_samples):
    return [rng.standard_normal(num_samples).astype(np.float32) for _ in range(num_voices)]


def augmenter(*stages, noises=None, rooms=None, **options):
    config = AugmentationOptions(augmentations=stages, **options)
    return Augmenter(parse_stages(config), config, noises or Recordings(), rooms or Recordings())


@pytest.mark.parametrize("name", [*STAGES, *STEPS, "speed+reverb+noise", "noise+speed", "babble+clip"])
def test_stage_is_decided_by_its_seed_and_keeps_the_length(name):
    if name in ("music", "speech"):
        made = augmenter(name, noises=Recordings(kinds=("music", "speech")))
    else:
        made = augmenter(name)
    results = [made.apply(name, speech(), np.random.default_rng(seed), voices) for seed in (1, 1, 2, 3)]
    for result in results:
        assert result.shape == (NUM_SAMPLES,) and result.dtype == np.float32 and np.isfinite(result).all()
    np.testing.assert_array_equal(results[0], results[1])
    if name == "clean":
        np.testing.assert_array_equal(results[0], speech())
    else:
        assert any(not np.array_equal(results[0], other) for other in results[2:])


def test_seeds_stages_have_the_model_zoos_steps():
    config = load_config(TrainPrepConfig, [f"--augmentations={','.join(STAGES)}"])
    assert {stage.name: stage.steps for stage in parse_stages(config)} == {
        "clean": (),
        "augment_wavedrop": ("drop_freq", "drop_chunk"),
        "augment_speed": ("speed", "drop_freq", "drop_chunk"),
        "add_rev": ("reverb",),
        "add_noise": ("noise",),
        "add_rev_noise": ("reverb", "noise"),
    }


def test_weights_are_read_from_text_and_from_yaml(tmp_path):
    expected = (Stage("clean", (), 0.4), Stage("reverb+noise", ("reverb", "noise"), 1.0), Stage("speed", ("speed",), 2))
    assert parse_stages(load_config(Config, ["--augmentations=clean:0.4, reverb+noise, speed:2"])) == expected
    path = tmp_path / "config.yaml"
    path.write_text("augmentations: [clean: 0.4, reverb + noise, speed:2]\n")
    assert parse_stages(load_config(Config, [f"--config_path={path}"])) == expected


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (("clean", "add_musik"), "unknown stage 'add_musik': expected one of clean, .*speed, noise"),
        (("clean", "clean"), "each stage once"),
        (("speed+speed",), "changes the speed twice"),
        (("clean:0", "noise"), "positive weight after 'clean:', got '0'"),
        (("clean:much",), "positive weight"),
        (("clean:inf",), "positive weight"),
    ],
)
def test_wrong_stages_are_named(entries, said):
    with pytest.raises(UsageError, match=said):
        parse_stages(Config(augmentations=entries))


def test_preparation_takes_no_weights():
    with pytest.raises(UsageError, match="one copy for each stage"):
        parse_stages(TrainPrepConfig(augmentations=("clean:0.4",)))


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("add_noise", "'noise' needs noise_folder"),
        ("music", "'music' needs noise_folder: MUSAN"),
        ("add_rev", "'reverb' needs rir_folder"),
    ],
)
def test_stage_without_its_recordings_is_refused(stage, said):
    config = AugmentationOptions(augmentations=(stage,))
    with pytest.raises(UsageError, match=said):
        Augmenter(parse_stages(config), config)


def test_babble_without_other_utterances_is_our_mistake():
    with pytest.raises(ValueError, match="needs a source of other utterances"):
        augmenter("babble").apply("babble", speech(), np.random.default_rng(0))


def test_parameters_lie_within_their_ranges_and_reach_both_ends():
    made = augmenter("noise+drop_freq+drop_chunk+volume+clip+babble", noise_snr=(3.0, 5.0), drop_freq_count=(1, 3))
    draws = [made.draw(made.stages[0].name, NUM_SAMPLES, np.random.default_rng(seed)).draws for seed in range(300)]
    noise, freq, chunk, volume, clip, babble = ([drawn for _, drawn in column] for column in zip(*draws, strict=True))
    assert {drawn.index for drawn in noise} == {0, 1, 2}
    assert all(3 <= drawn.snr_db <= 5 for drawn in noise)
    assert all(drawn.start == 0 for drawn in noise if drawn.index == 1)  # shorter than the speech
    assert all(0 <= drawn.start <= 12000 for drawn in noise if drawn.index == 0)
    assert {len(drawn) for drawn in freq} == {1, 2, 3}
    assert all(0 < value <= 1 for drawn in freq for value in drawn)
    assert {len(drawn.starts) for drawn in chunk} == {1, 2, 3, 4, 5}
    for drawn in chunk:
        assert (drawn.lengths >= 1000).all() and (drawn.lengths <= 2000).all()
        assert (drawn.starts + drawn.lengths <= NUM_SAMPLES).all()
    assert all(0.5 <= value <= 1.5 for value in volume) and all(0.3 <= value <= 0.9 for value in clip)
    assert {drawn.num_voices for drawn in babble} == {3, 4, 5, 6, 7}


def test_plan_says_how_many_samples_its_speed_takes():
    made = augmenter("augment_speed", speeds=(0.9, 1.0, 1.1))
    plans = [made.draw("augment_speed", 1000, np.random.default_rng(seed)) for seed in range(50)]
    assert {plan.speed_index: plan.source_length for plan in plans} == {0: 900, 1: 1000, 2: 1099}
    assert made.source_length(1000) == 1099
    assert augmenter("noise").source_length(1000) == 1000
    for plan in plans:
        assert plan.apply(speech(plan.source_length)).shape == (1000,)
    with pytest.raises(ValueError, match="expected"):
        plans[0].apply(speech(10))


def test_stages_are_chosen_by_weight():
    config = Config(augmentations=("clean:0.7", "speed:0.1", "volume:0.2"))
    made = Augmenter(parse_stages(config), config)
    rng = np.random.default_rng(0)
    names = [made.choose(rng) for _ in range(4000)]
    shares = [names.count(stage.name) / len(names) for stage in made.stages]
    np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.03)


def test_noise_stage_takes_only_the_noise_of_musan():
    recordings = Recordings((100, 200), kinds=("noise", "music"))
    step = augmenter("noise", noises=recordings).draw("noise", 100, np.random.default_rng(0)).draws[0][0]
    assert len(step.noises) == 1 and step.noises.num_samples(0) == 5000


def test_spectra_of_rooms_are_kept_within_bounds(monkeypatch):
    monkeypatch.setattr(augment, "ROOM_CACHE_BYTES", 2 * 8 * 4001)
    rooms = Recordings((500, 500, 500))
    made = augmenter("reverb", rooms=rooms)
    ((step, _),) = made.draw("reverb", NUM_SAMPLES, np.random.default_rng(0)).draws
    first = step.apply(speech(), 0)
    for index in (0, 1, 0, 1):
        step.apply(speech(), index)
    assert rooms.reads == 2
    step.apply(speech(), 2)  # pushes 0 out, which was used before 1
    step.apply(speech(), 1)
    assert rooms.reads == 3
    np.testing.assert_array_equal(step.apply(speech(), 0), first)
    assert rooms.reads == 4


def test_room_stage_is_the_distortion_of_the_drawn_room():
    rooms = Recordings()
    made = augmenter("reverb", rooms=rooms)
    plan = made.draw("reverb", NUM_SAMPLES, np.random.default_rng(4))
    spectrum = distortions.room_spectrum(rooms.response(plan.draws[0][1]), NUM_SAMPLES)
    np.testing.assert_array_equal(plan.apply(speech()), distortions.reverberate(speech(), spectrum))


def test_augmenter_can_be_sent_to_a_process():
    made = pickle.loads(pickle.dumps(augmenter("add_rev_noise", "augment_speed")))
    np.testing.assert_array_equal(
        made.apply("add_rev_noise", speech(), np.random.default_rng(0)),
        augmenter("add_rev_noise").apply("add_rev_noise", speech(), np.random.default_rng(0)),
    )


def test_masks_are_of_random_place_and_length():
    masks = FeatureMasks(0.3, 10, 8)
    drawn = [masks.draw(np.random.default_rng(seed), (50, 20)) for seed in range(400)]
    masked = [(times[0], bins[0]) for times, bins in drawn if times]
    assert 0.2 < len(masked) / len(drawn) < 0.4
    assert {length for (_, length), _ in masked} == set(range(11))
    assert {length for _, (_, length) in masked} == set(range(9))
    assert all(start + length <= 50 for (start, length), _ in masked)
    feats = np.ones((50, 20), np.float32)
    result = masks(feats, np.random.default_rng(next(seed for seed in range(99) if drawn[seed][0])))
    assert 0 < result.mean() < 1 and (feats == 1).all()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--speeds=0.955", "whole percents"),
        ("--speeds=1.0,1.0", "whole percents"),
        ("--speeds=3", "whole percents"),
        ("--noise_snr=15,0", "least, greatest"),
        ("--drop_chunk_count=1.5,2", "two whole numbers"),
        ("--augmentations=[]", "list of stages"),
        ("--speed_classes --speeds=0.9,1.1", "expected 1.0 among them"),
        ("--spec_augment=1.5", "between 0 and 1"),
    ],
)
def test_impossible_ranges_are_refused(option, said):
    with pytest.raises(UsageError, match=said):
        load_config(Config, option.split())
