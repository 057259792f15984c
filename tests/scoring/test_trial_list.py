import dataclasses

import numpy as np
import pytest

from mindvox.errors import InputError
from mindvox.scoring.embeddings import EmbeddingStore, Identity
from mindvox.scoring.trial_list import TrialList

IDENTITY = Identity("model", "store", "engine", None, {})


@pytest.fixture
def store():
    """Three speakers a, b, c with utterances a/0 ... c/3."""
    utt_ids = [f"{spk_id}/{number}" for spk_id in "abc" for number in range(4)]
    embeddings = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
    return EmbeddingStore(utt_ids, [utt_id[0] for utt_id in utt_ids], embeddings, IDENTITY)


@pytest.fixture
def write(tmp_path):
    def write(name, *lines):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
        return tmp_path / name

    return write


def test_an_unknown_utterance_is_named_with_its_line(store, write):
    path = write("t", "1 a/0 a/1", "", "0 a/0 z/0", "0 a/0 z/1")
    with pytest.raises(InputError, match="t:3: 2 of its 4 utterances are not in the store, such as z/0, z/1"):
        TrialList.read(path, "voxceleb", store)


@pytest.mark.parametrize(("label", "kind"), [(1, "target"), (0, "non-target")])
def test_a_one_sided_list_says_which_kind_and_lines(store, write, label, kind):
    path = write("t", "", f"{label} a/0 a/1", f"{label} a/0 a/2")
    with pytest.raises(InputError, match=rf"all 2 are of one kind, {kind} \(lines 2 to 3\)"):
        TrialList.read(path, "voxceleb", store)


def test_a_repeated_trial_is_an_error_unless_it_shall_count(store, write):
    path = write("t", "1 a/0 a/1", "0 a/0 b/1", "1 a/0 a/1")
    with pytest.raises(InputError, match="t:3: the same trial as line 1, 'a/0 a/1'"):
        TrialList.read(path, "voxceleb", store)
    trials = TrialList.read(path, "voxceleb", store, repeated_trials="keep")
    assert len(trials.trials) == 3
    assert "1 trials repeat an earlier one; each counts" in trials.describe()


def test_a_blind_list_has_no_truth(store, write):
    trials = TrialList.read(write("t", "a/0 b/1", "a/0 a/1"), "voxsrc", store)
    assert trials.is_target is None
    assert trials.describe()[0].endswith("2 trials, blind")
    np.testing.assert_array_equal(trials.rows(), [0, 1, 5])


def test_excluded_utterances_take_their_trials_with_them(store, write):
    path = write("t", "1 a/0 a/1", "0 a/0 b/1", "1 b/0 b/1", "0 b/2 a/1", "1 a/0 a/2", "0 a/0 c/0")
    trials = TrialList.read(path, "voxceleb", store, exclude_list=write("x", "b/1", "", "a/2"))
    assert [(trial.enrol, trial.test) for trial in trials.trials] == [("a/0", "a/1"), ("b/2", "a/1"), ("a/0", "c/0")]
    assert trials.excluded == (2, 3, 6)
    assert "exclude_list: 2 utterances, 3 of 6 trials are left out" in trials.describe()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a/0", "q/7"], "x:2: no trial names q/7; 1 of 2 are unknown"),
        (["a/0\ta/1"], "x:1: expected one utterance name, got 'a/0.ta/1'"),
        ([], "expected utterance names, one per line, got none"),
        (["a/0", "b/0"], "x: leaves none of the 2 trials"),
        (["b/0"], "all 1 are of one kind"),
    ],
)
def test_wrong_exclude_lists_are_refused(store, write, lines, message):
    path = write("t", "1 a/0 a/1", "0 a/0 b/0")
    with pytest.raises(InputError, match=message):
        TrialList.read(path, "voxceleb", store, exclude_list=write("x", *lines))


def test_models_are_enrolled_with_the_mean_of_their_utterances(store, write):
    """The form of CN-Celeb: eval/lists/trials.lst and enroll.map."""
    path = write("trials.lst", "a-enroll a/3 1", "b-enroll a/3 0", "a-enroll b/3 0")
    models = write("enroll.map", "a-enroll a/0 a/1 a/2", "b b/0", "c-enroll c/0 c/1")
    trials = TrialList.read(path, "cnceleb", store, enrol_map_path=models)
    np.testing.assert_array_equal(trials.is_target, [True, False, False])
    assert trials.describe()[1] == "2 models of 1 to 3 utterances are enrolled"
    np.testing.assert_array_equal(trials.rows(), [0, 1, 2, 3, 4, 7])
    sides = trials.sides(store)
    np.testing.assert_allclose(sides.embeddings[sides.enrol[0]], store.embeddings[:3].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(sides.embeddings[sides.enrol[1]], store.embeddings[4])
    np.testing.assert_array_equal(sides.embeddings[sides.test[0]], store.embeddings[3])
    assert [sides.names[side] for side in sides.enrol] == ["a-enroll", "b-enroll", "a-enroll"]
    enrol_speaker, test_speaker = trials.speakers(store)
    np.testing.assert_array_equal(enrol_speaker == test_speaker, trials.is_target)


def test_a_model_goes_on_without_its_excluded_utterances(store, write):
    path = write("t", "a a/3 1", "b a/3 0", "a b/3 0")
    models = write("m", "a a/0 a/1 a/2", "b b/0")
    trials = TrialList.read(path, "cnceleb", store, enrol_map_path=models, exclude_list=write("x", "a/1", "b/0"))
    assert trials.model_names == ["a"]
    np.testing.assert_array_equal(trials.model_rows[0], [0, 2])
    assert trials.excluded == (2, 1, 3)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a a/0", "a a/1"], "m:2: model a is there twice"),
        (["a a/0 a/0"], "m:1: model a names an utterance twice"),
        (["a"], "m:1: expected '<model> <utterance>"),
        ([""], "expected lines '<model> <utterance>"),
        (["b b/0"], "t:1: .*m has no model a"),
        (["a a/0 b/1"], "model a: expected utterances of one speaker, got those of a, b"),
        (["a a/0 q/0"], "t:1: 1 of its 4 utterances are not in the store, such as q/0"),
    ],
)
def test_wrong_enrolment_maps_are_refused(store, write, lines, message):
    with pytest.raises(InputError, match=message):
        TrialList.read(write("t", "a a/3 1", "a b/3 0"), "cnceleb", store, enrol_map_path=write("m", *lines))


def test_a_model_without_a_map_says_which_key_is_missing(store, write):
    with pytest.raises(InputError, match="enrol_map_path"):
        TrialList.read(write("t", "a-enroll a/3 1", "a-enroll b/3 0"), "cnceleb", store)


def test_plain_sides_are_rows_of_the_store(store, write):
    trials = TrialList.read(write("t", "0 b/0 a/2", "1 b/0 b/1"), "voxceleb", store)
    np.testing.assert_array_equal(trials.enrol, [4, 4])
    np.testing.assert_array_equal(trials.test, [2, 5])
    crops = dataclasses.replace(store, embeddings=np.repeat(store.embeddings[:, None], 3, axis=1))
    assert trials.sides(crops).embeddings.shape == (3, 3, 6)


def test_lists_maps_and_exclude_lists_may_spell_names_in_other_ways(store, write):
    path = write("t", "1 ./a/0 a/1", "0 /data/a/0 b/1", "1 b//0 b/1", "0 b/2 x/../a/1")
    trials = TrialList.read(path, "voxceleb", store, exclude_list=write("x", "./b/1"))
    assert [trial[1:] for trial in trials.trials] == [("a/0", "a/1"), ("b/2", "a/1")]
    enrol_map = write("m", "m1 ./a/0 a//1", "m2 b/0")
    path = write("t", "1 m1 a/2", "0 m2 ./a/2")
    trials = TrialList.read(path, "voxceleb", store, enrol_map_path=enrol_map)
    assert [rows.tolist() for rows in trials.model_rows] == [[0, 1], [4]]


def test_self_trials_are_told_and_contradictions_refused(store, write):
    trials = TrialList.read(write("t", "1 a/0 a/0", "0 a/0 b/0"), "voxceleb", store)
    assert trials.num_self == 1
    assert any("self-trials, an utterance against itself: 1." in line for line in trials.describe())
    enrol_map = write("m", "m1 a/0 a/1", "m2 b/0")
    with pytest.raises(InputError, match="t:2: says that a/1 is of another speaker than m1"):
        TrialList.read(write("t", "1 m1 a/2", "0 m1 a/1"), "voxceleb", store, enrol_map_path=enrol_map)
    trials = TrialList.read(write("t", "1 m1 a/1", "0 m2 a/1"), "voxceleb", store, enrol_map_path=enrol_map)
    assert trials.num_self == 1
