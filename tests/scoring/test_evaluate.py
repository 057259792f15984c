import dataclasses
import json
import re

import numpy as np
import pytest

from mindvox.config import Config
from mindvox.corpus.tables import write_speakers
from mindvox.errors import InputError, UsageError
from mindvox.files import sha256_file
from mindvox.scoring.embeddings import EmbeddingStore, Identity
from mindvox.scoring.error_rates import Result, looks_swapped
from mindvox.scoring.evaluate import evaluate
from mindvox.scoring.metrics import eer
from mindvox.scoring.options import ScoreOptions, why_no_cohort
from mindvox.scoring.results import format_result
from mindvox.scoring.score import main as score
from mindvox.scoring.trial_list import TrialList, check_unseen_speakers
from mindvox.scoring.trial_scores import score_trials

IDENTITY = Identity("model", "store", "engine", None, {"n_mels": 80})
OPTIONS = ScoreOptions(cohort_size=10)


def embedding_store(prefix, num_speakers, utts_each, seed, size=24):
    """Speakers at random places, their utterances near them, and all of it away from zero."""
    rng = np.random.default_rng(seed)
    speakers = np.repeat(rng.normal(size=(num_speakers, size)), utts_each, axis=0)
    embeddings = speakers + 1.2 * rng.normal(size=speakers.shape) + 2
    spk_ids = [f"{prefix}{row // utts_each}" for row in range(len(speakers))]
    utt_ids = [f"{spk_id}/s/{row % utts_each}.wav" for row, spk_id in enumerate(spk_ids)]
    return EmbeddingStore(utt_ids, spk_ids, embeddings.astype(np.float32), IDENTITY)


@pytest.fixture
def evaluation():
    return embedding_store("id", 6, 5, seed=0)


@pytest.fixture
def cohort():
    return embedding_store("co", 30, 1, seed=1)


@pytest.fixture
def trials_path(tmp_path, evaluation):
    names = evaluation.utt_ids
    lines = [
        f"{int(enrol.split('/')[0] == test.split('/')[0])} {enrol} {test}\n"
        for row, enrol in enumerate(names)
        for test in names[row + 1 :]
    ]
    path = tmp_path / "veri_test2.txt"
    path.write_text("".join(lines))
    return path


def config(**changes):
    return dataclasses.replace(Config(), **changes)


def eer_lines(text):
    return [line for line in text.splitlines() if line.startswith("eer ")]


def test_line_has_fractions_with_four_decimals():
    result = Result(0.01234, 0.5, {0.01: 0.12344, 0.05: 0.0987})
    assert format_result("baseline", result) == "eer baseline:0.0123 mindcf(0.01):0.1234 mindcf(0.05):0.0987"


def test_evaluate_prints_three_lines_and_the_cohort_used(evaluation, cohort, trials_path, tmp_path, capsys):
    trials = TrialList.read(trials_path, "voxceleb", evaluation)
    results = evaluate(trials, evaluation, cohort, config(), tmp_path, "")
    out = capsys.readouterr().out
    assert "435 trials, 60 of them target" in out
    assert "s-norm: best 30 of 30 cohort scores are used" in out
    assert [line.split(":")[0] for line in eer_lines(out)] == ["eer baseline", "eer sub mean", "eer s-norm"]
    assert all(
        re.fullmatch(r"eer [a-z -]+:0\.\d{4} mindcf\(0.01\):[01]\.\d{4} mindcf\(0.05\):[01]\.\d{4}", line)
        for line in eer_lines(out)
    )
    assert eer_lines(out)[2] == format_result("s-norm", results["s-norm"])
    assert results["s-norm"].eer < results["baseline"].eer < 0.5


def test_score_file_gives_the_printed_rates_again(evaluation, cohort, trials_path, tmp_path):
    trials = TrialList.read(trials_path, "voxceleb", evaluation)
    results = evaluate(trials, evaluation, cohort, config(score_norm="z-norm"), tmp_path, "")
    header, *rows = [line.split("\t") for line in (tmp_path / "scores.tsv").read_text().splitlines()]
    assert header == ["label", "enrol", "test", "baseline", "sub_mean", "z-norm"]
    assert [row[:3] for row in rows] == [line.split() for line in trials_path.read_text().splitlines()]
    is_target = np.array([row[0] == "1" for row in rows])
    for column, name in enumerate(("baseline", "sub mean", "z-norm"), 3):
        assert eer(np.array([np.float32(row[column]) for row in rows]), is_target) == results[name][:2]


def test_results_file_says_what_was_measured(evaluation, cohort, trials_path, tmp_path):
    trials = TrialList.read(trials_path, "voxceleb", evaluation)
    results = evaluate(trials, evaluation, cohort, config(cohort_size=20), tmp_path, "")
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["trials"] == {
        "file": "veri_test2.txt",
        "sha256": sha256_file(trials_path),
        "num_trials": 435,
        "num_targets": 60,
        "num_repeated": 0,
        "excluded": None,
    }
    assert written["options"]["cohort_size_used"] == 20
    assert written["evaluation"] == IDENTITY.to_dict()
    assert set(written["results"]) == {"baseline", "sub_mean", "s-norm"}
    assert written["results"]["sub_mean"]["eer"] == results["sub mean"].eer
    assert written["results"]["sub_mean"]["min_dcf"]["0.01"] == results["sub mean"].min_dcf[0.01]
    assert str(tmp_path) not in (tmp_path / "results.json").read_text()


@pytest.mark.parametrize(
    ("has_cohort", "changes", "kinds", "missing"),
    [
        (False, {}, ["baseline"], "no sub mean and no s-norm: because"),
        (False, {"sub_mean": "test"}, ["baseline", "sub mean"], "no s-norm: because"),
        (False, {"sub_mean": "test", "score_norm": "none"}, ["baseline", "sub mean"], ""),
        (False, {"score_norm": "none"}, ["baseline"], "no sub mean: because"),
        (True, {"score_norm": "none"}, ["baseline", "sub mean"], ""),
        (True, {"score_norm": "t-norm"}, ["baseline", "sub mean", "t-norm"], ""),
    ],
)
def test_what_cannot_be_computed_is_said(
    evaluation, cohort, trials_path, tmp_path, capsys, has_cohort, changes, kinds, missing
):
    trials = TrialList.read(trials_path, "voxceleb", evaluation)
    results = evaluate(trials, evaluation, cohort if has_cohort else None, config(**changes), tmp_path, "because")
    out = capsys.readouterr().out
    assert list(results) == kinds
    assert [line.split(":")[0] for line in eer_lines(out)] == [f"eer {name}" for name in kinds]
    assert (missing in out.splitlines()) if missing else ("because" not in out)


def test_scores_equal_a_loop_over_trials(evaluation, cohort, trials_path):
    trials = TrialList.read(trials_path, "voxceleb", evaluation)
    scores = score_trials(trials, evaluation, cohort, OPTIONS)

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    mean = cohort.embeddings.astype(np.float64).mean(axis=0)
    others = cohort.embeddings - mean
    for number in range(0, len(trials.trials), 29):
        enrol, test = evaluation.embeddings[[trials.enrol[number], trials.test[number]]].astype(np.float64)
        assert scores["baseline"][number] == pytest.approx(cosine(enrol, test), abs=1e-6)
        enrol, test = enrol - mean, test - mean
        assert scores["sub mean"][number] == pytest.approx(cosine(enrol, test), abs=1e-6)
        best = [sorted(cosine(side, other) for other in others)[-10:] for side in (enrol, test)]
        expected = np.mean([(cosine(enrol, test) - np.mean(side)) / np.std(side) for side in best])
        assert scores["s-norm"][number] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_the_test_sets_mean_is_that_of_the_trials_utterances(evaluation, trials_path, tmp_path):
    lines = [line for line in trials_path.read_text().splitlines() if "id5" not in line]
    path = tmp_path / "fewer.txt"
    path.write_text("\n".join(lines))
    trials = TrialList.read(path, "voxceleb", evaluation)
    scores = score_trials(trials, evaluation, None, dataclasses.replace(OPTIONS, sub_mean="test"))
    used = evaluation.embeddings[[not utt_id.startswith("id5") for utt_id in evaluation.utt_ids]]
    enrol, test = evaluation.embeddings[[trials.enrol[0], trials.test[0]]] - used.mean(axis=0)
    expected = enrol @ test / np.linalg.norm(enrol) / np.linalg.norm(test)
    assert scores["sub mean"][0] == pytest.approx(expected, abs=1e-5)


def test_scores_do_not_depend_on_the_order_of_trials_or_the_sides_of_s_norm(evaluation, cohort, trials_path, tmp_path):
    lines = trials_path.read_text().splitlines()
    order = np.random.default_rng(0).permutation(len(lines))
    path = tmp_path / "shuffled.txt"
    path.write_text("\n".join(" ".join(lines[row].split()[column] for column in (0, 2, 1)) for row in order))
    scores, shuffled = (
        score_trials(TrialList.read(name, "voxceleb", evaluation), evaluation, cohort, OPTIONS)
        for name in (trials_path, path)
    )
    for name in scores:
        np.testing.assert_allclose(shuffled[name], scores[name][order], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "1 id0/s/0.wav id0/s/1.wav\n0 id0/s/0.wav zz/s/0.wav\n",
            "1 of its 3 utterances are not in the store, such as zz",
        ),
        ("1 id0/s/0.wav id0/s/1.wav\n", "all 1 are of one kind"),
        ("0 id0/s/0.wav id1/s/1.wav\n", "all 1 are of one kind"),
        ("1 id0/s/0.wav\n", "trials.txt:1: expected"),
    ],
)
def test_wrong_trial_lists_are_refused(evaluation, tmp_path, text, message):
    path = tmp_path / "trials.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        TrialList.read(path, "voxceleb", evaluation)


def test_a_cohort_with_the_trials_speakers_is_refused(evaluation, cohort, trials_path, tmp_path):
    trials = TrialList.read(trials_path, "voxceleb", evaluation)
    with pytest.raises(InputError, match="2 of the cohort's speakers .* such as id0, id1"):
        same_speakers = dataclasses.replace(cohort, spk_ids=["id0", "id1", *cohort.spk_ids[2:]])
        evaluate(trials, evaluation, same_speakers, config(), tmp_path, "")
    with pytest.raises(InputError, match="1 of the cohort's utterances"):
        same_utterance = dataclasses.replace(cohort, utt_ids=[evaluation.utt_ids[0], *cohort.utt_ids[1:]])
        evaluate(trials, evaluation, same_utterance, config(), tmp_path, "")


def test_a_cohort_of_another_model_is_refused(evaluation, cohort, trials_path, tmp_path):
    trials = TrialList.read(trials_path, "voxceleb", evaluation)
    other = dataclasses.replace(cohort, identity=dataclasses.replace(IDENTITY, model_sha256="other", cut_frames=301))
    with pytest.raises(InputError, match="differ in model_sha256, cut_frames"):
        evaluate(trials, evaluation, other, config(), tmp_path, "")


def test_trials_of_training_speakers_are_refused(evaluation, trials_path, tmp_path):
    trials = TrialList.read(trials_path, "voxceleb", evaluation)
    table, checkpoint = tmp_path / "speakers.csv", tmp_path / "model.ckpt"
    write_speakers(table, ["id1", "other"])
    with pytest.raises(InputError, match="1 of its speakers are in .*speakers.csv, such as id1"):
        check_unseen_speakers(trials, evaluation, checkpoint, sha256_file(table))
    write_speakers(table, ["other", "another"])
    check_unseen_speakers(trials, evaluation, checkpoint, sha256_file(table))
    with pytest.raises(InputError, match="another model's. Put it back, or pass --allow_seen_speakers=true"):
        check_unseen_speakers(trials, evaluation, checkpoint, "other table")
    table.unlink()
    with pytest.raises(InputError, match="missing"):
        check_unseen_speakers(trials, evaluation, checkpoint, "other table")


def test_the_reason_for_no_cohort_names_the_key(tmp_path):
    assert why_no_cohort(config()).startswith("train_norm_path is not set")
    missing = why_no_cohort(config(train_norm_path=str(tmp_path / "none")))
    assert missing.startswith(f"train_norm_path {tmp_path / 'none'} does not exist")
    assert why_no_cohort(config(train_norm_path=str(tmp_path))) == ""


def test_a_cohort_that_nothing_needs_is_left_alone(tmp_path):
    changes = {"score_norm": "none", "sub_mean": "test"}
    assert why_no_cohort(config(train_norm_path=str(tmp_path), **changes)) == "nothing needs one."


def run_score(tmp_path, *arguments):
    (tmp_path / "empty.yaml").write_text("")
    return score([*map(str, arguments), "--config_path", str(tmp_path / "empty.yaml")])


def test_scorer_prints_and_writes_what_eval_does(evaluation, cohort, trials_path, tmp_path, capsys):
    evaluate(TrialList.read(trials_path, "voxceleb", evaluation), evaluation, cohort, config(), tmp_path / "first", "")
    expected = eer_lines(capsys.readouterr().out)
    evaluation.save(tmp_path / "infer_result" / "eval")
    cohort.save(tmp_path / "infer_result" / "norm")
    folder = tmp_path / "infer_result"
    keys = (f"--veri_file_path={trials_path.name}", f"--train_norm_path={tmp_path}")
    assert run_score(tmp_path, folder, trials_path.parent, *keys) == 0
    assert eer_lines(capsys.readouterr().out) == expected
    for name in ("scores.tsv", "results.json"):
        assert (folder / name).read_text() == (tmp_path / "first" / name).read_text()


def test_scorer_takes_the_configurations_keys(evaluation, trials_path, tmp_path, capsys):
    evaluation.save(tmp_path / "eval")
    keys = (f"--veri_file_path={trials_path}", "--sub_mean=test", "--score_norm", "t-norm")
    assert run_score(tmp_path, tmp_path, tmp_path, *keys) == 0
    out = capsys.readouterr().out
    assert [line.split(":")[0] for line in eer_lines(out)] == ["eer baseline", "eer sub mean"]
    assert "no t-norm: train_norm_path is not set" in out
    assert (tmp_path / "scores.tsv").is_file()


def test_scorer_refuses_a_folder_without_embeddings(trials_path, tmp_path):
    with pytest.raises(InputError, match="expected a finished embedding store"):
        run_score(tmp_path, tmp_path / "none", trials_path.parent)


def test_further_numbers_stand_below_the_known_lines_and_in_the_results(
    evaluation, cohort, trials_path, tmp_path, capsys
):
    trials = TrialList.read(trials_path, "voxceleb", evaluation)
    evaluate(trials, evaluation, cohort, config(bootstrap=30, target_far=0.05), tmp_path, "")
    lines = capsys.readouterr().out.splitlines()
    kinds = ["baseline", "sub mean", "s-norm"]
    assert [line.split(":")[0] for line in lines[2:5]] == [f"eer {kind}" for kind in kinds]
    assert [line.split(":")[0] for line in lines[5:]] == [
        text for kind in kinds for text in (f"auc {kind}", f"95% of {kind}", "  6 speakers drawn 30 times")
    ]
    assert re.fullmatch(
        r"auc s-norm:0\.\d{4} mincllr:0\.\d{4} threshold at EER:-?\d+\.\d{4}, "
        r"at FAR 0.05:-?\d+\.\d{4} \(misses 0\.\d{4}\)",
        lines[11],
    )
    assert re.fullmatch(
        r"95% of s-norm: EER:0\.\d{4}\.\.0\.\d{4} mindcf\(0.01\):\S+ mindcf\(0.05\):\S+",
        lines[12],
    )
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["options"]["bootstrap"] == 30
    result = written["results"]["s-norm"]
    low, high = result["intervals"]["eer"]
    assert low <= result["eer"] <= high
    assert set(result["intervals"]["min_dcf"]) == set(result["min_dcf"])
    assert result["at_false_alarm_rate"]["false_alarm_rate"] <= 0.05
    assert result["eer_speechbrain"] == pytest.approx(result["eer"], abs=0.02)
    assert result["eer_voxceleb_trainer"] == pytest.approx(result["eer"], abs=0.02)


def test_a_blind_list_is_scored_without_error_rates(evaluation, cohort, trials_path, tmp_path, capsys):
    truth = TrialList.read(trials_path, "voxceleb", evaluation)
    evaluate(truth, evaluation, cohort, config(), tmp_path / "truth", "")
    blind_path = tmp_path / "blind.txt"
    blind_path.write_text("".join(f"{trial.enrol} {trial.test}\n" for trial in truth.trials))
    capsys.readouterr()
    blind = TrialList.read(blind_path, "voxsrc", evaluation)
    assert evaluate(blind, evaluation, cohort, config(), tmp_path / "blind", "") == {}
    out = capsys.readouterr().out
    assert eer_lines(out) == []
    assert "baseline, sub mean, s-norm: scores only; error rates need a list with labels" in out
    rows = [line.split("\t", 1)[1] for line in (tmp_path / "truth" / "scores.tsv").read_text().splitlines()]
    assert (tmp_path / "blind" / "scores.tsv").read_text().splitlines() == rows
    written = json.loads((tmp_path / "blind" / "results.json").read_text())
    assert written["trials"]["num_targets"] is None and written["results"] == {}


def test_a_cohort_over_speakers_is_their_mean_embeddings(evaluation, trials_path, tmp_path, capsys):
    trials = TrialList.read(trials_path, "voxceleb", evaluation)
    utterances = embedding_store("co", 12, 4, seed=2)
    by_hand = [utterances.embeddings[start : start + 4].mean(axis=0) for start in range(0, 48, 4)]
    names = sorted(f"co{speaker}" for speaker in range(12))
    means = EmbeddingStore(names, names, np.array([by_hand[int(name[2:])] for name in names]), IDENTITY)
    options = dataclasses.replace(OPTIONS, cohort_over="speaker", cohort_size=5)
    scores = score_trials(trials, evaluation, utterances, options)
    expected = score_trials(trials, evaluation, means, dataclasses.replace(OPTIONS, cohort_size=5))
    np.testing.assert_allclose(scores["s-norm"], expected["s-norm"], rtol=1e-4)
    evaluate(trials, evaluation, utterances, config(cohort_over="speaker", cohort_size=20), tmp_path, "")
    assert "s-norm: best 12 of 12 cohort scores are used" in capsys.readouterr().out


def cropped(store, num_crops=3):
    noise = np.random.default_rng(9).normal(size=(len(store.utt_ids), num_crops, store.embeddings.shape[1]))
    embeddings = (store.embeddings[:, None] + 0.5 * noise).astype(np.float32)
    return dataclasses.replace(
        store, embeddings=embeddings, identity=dataclasses.replace(IDENTITY, num_crops=num_crops, cut_frames=300)
    )


def all_pairs(trials, embeddings, pair_score):
    units = embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)
    sides = zip(trials.enrol, trials.test, strict=True)
    return [np.mean([pair_score(a, b) for a in units[enrol] for b in units[test]]) for enrol, test in sides]


@pytest.mark.parametrize(
    ("crop_score", "pair_score"), [("distance", lambda a, b: -np.linalg.norm(a - b)), ("cosine", np.dot)]
)
def test_crops_are_scored_pair_by_pair(evaluation, cohort, trials_path, crop_score, pair_score):
    trials = TrialList.read(trials_path, "voxceleb", evaluation)
    evaluation, cohort = cropped(evaluation), cropped(cohort)
    options = dataclasses.replace(OPTIONS, crop_score=crop_score, score_norm="none")
    scores = score_trials(trials, evaluation, cohort, options)
    mean = cohort.embeddings.reshape(-1, 24).mean(axis=0)
    np.testing.assert_allclose(scores["baseline"], all_pairs(trials, evaluation.embeddings, pair_score), atol=1e-5)
    centred = evaluation.embeddings - mean
    np.testing.assert_allclose(scores["sub mean"], all_pairs(trials, centred, pair_score), atol=1e-5)


def test_s_norm_of_crops_takes_the_mean_cosine_with_each_cohort_utterance(evaluation, cohort, trials_path):
    trials = TrialList.read(trials_path, "voxceleb", evaluation)
    evaluation, cohort = cropped(evaluation), cropped(cohort)
    scores = score_trials(trials, evaluation, cohort, dataclasses.replace(OPTIONS, crop_score="cosine"))
    mean = cohort.embeddings.reshape(-1, 24).mean(axis=0)
    units, others = (store.embeddings - mean for store in (evaluation, cohort))
    units, others = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (units, others))
    sides = [trials.enrol[7], trials.test[7]]
    best = [sorted(np.mean(units[side] @ other.T) for other in others)[-10:] for side in sides]
    expected = np.mean([(scores["sub mean"][7] - np.mean(side)) / np.std(side) for side in best])
    assert scores["s-norm"][7] == pytest.approx(expected, rel=1e-4)


def test_a_norm_of_crop_distances_is_refused(evaluation, cohort, trials_path):
    trials = TrialList.read(trials_path, "voxceleb", evaluation)
    with pytest.raises(UsageError, match="score_norm: s-norm is defined for cosines.*Pass --score_norm=none, or"):
        score_trials(trials, cropped(evaluation), cropped(cohort), OPTIONS)


def test_scorer_takes_models_and_an_exclude_list(evaluation, tmp_path, capsys):
    evaluation.save(tmp_path / "eval")
    lines = [f"m{a} id{b}/s/4.wav {int(a == b)}\n" for a in range(6) for b in range(6)]
    (tmp_path / "trials.lst").write_text("".join(lines))
    models = [f"m{number} " + " ".join(f"id{number}/s/{utt}.wav" for utt in range(4)) + "\n" for number in range(6)]
    (tmp_path / "enroll.map").write_text("".join(models))
    (tmp_path / "exclude").write_text("id2/s/4.wav\nid3/s/0.wav\n")
    keys = ["--veri_file_path=trials.lst", "--trial_format=cnceleb", "--score_norm=none", "--sub_mean=test"]
    keys += [f"--enrol_map_path={tmp_path / 'enroll.map'}", f"--exclude_list={tmp_path / 'exclude'}"]
    assert run_score(tmp_path, tmp_path, tmp_path, *keys) == 0
    out = capsys.readouterr().out
    assert "30 trials, 5 of them target" in out
    assert "6 models of 3 to 4 utterances are enrolled" in out
    assert "exclude_list: 2 utterances, 6 of 36 trials are left out" in out
    label, enrol, test, baseline, _ = (tmp_path / "scores.tsv").read_text().splitlines()[1].split("\t")
    assert (label, enrol, test) == ("1", "m0", "id0/s/4.wav")
    enrolled, tested = evaluation.embeddings[:4].mean(axis=0), evaluation.embeddings[4]
    expected = enrolled @ tested / np.linalg.norm(enrolled) / np.linalg.norm(tested)
    assert float(baseline) == pytest.approx(expected, abs=1e-6)
    assert json.loads((tmp_path / "results.json").read_text())["trials"]["excluded"] == {
        "num_utterances": 2,
        "num_trials": 6,
        "num_listed": 36,
    }


# Swapped labels (issue 12, B14). Second variants: an EER above a half by chance, with few trials; scores that are all
# equal; columns taken for labels of another form.


def test_an_error_rate_far_above_a_half_is_said(evaluation, cohort, trials_path, tmp_path, capsys):
    swapped = {"0": "1", "1": "0"}
    lines = [swapped[line[0]] + line[1:] for line in trials_path.read_text().splitlines()]
    trials_path.write_text("\n".join(lines) + "\n")
    trials = TrialList.read(trials_path, "voxceleb", evaluation)
    result = evaluate(trials, evaluation, cohort, config(cohort_size=20), tmp_path, "")["baseline"]
    assert result.eer > 0.7
    said = capsys.readouterr().err
    assert said.count("warning: an EER of 7") == 1 and "trial_format: voxceleb" in said


@pytest.mark.parametrize(
    ("eer", "num_targets", "expected"),
    [(0.98, 100, True), (0.6, 1000, True), (0.5, 1000, False), (0.54, 100000, False), (1.0, 5, False), (0.0, 2, False)],
)
def test_chance_and_few_trials_are_not_taken_for_swapped_labels(eer, num_targets, expected):
    is_target = np.arange(10 * num_targets) < num_targets
    assert looks_swapped(eer, is_target) == expected
    assert looks_swapped(eer, ~is_target) == expected
